# SPDX-License-Identifier: Apache-2.0
# LWP: URL
use strict;
use warnings;
use LWP::UserAgent;

my $agent = LWP::UserAgent->new(timeout => 30, keep_alive => 1);
for my $answer ($agent->get("$ARGV[0]/text"), $agent->head("$ARGV[0]/big"),
                $agent->post("$ARGV[0]/echo", { a => 1 })) {
    print $answer->code, ' ', $answer->header('Content-Length'), ' ', $answer->content, "\n";
}
