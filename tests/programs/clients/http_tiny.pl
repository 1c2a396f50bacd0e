# SPDX-License-Identifier: Apache-2.0
# HTTP::Tiny: URL
use strict;
use warnings;
use HTTP::Tiny;

my $http = HTTP::Tiny->new(timeout => 30);
for my $answer ($http->get("$ARGV[0]/text"), $http->head("$ARGV[0]/big"),
                $http->post_form("$ARGV[0]/echo", { a => 1 })) {
    print "$answer->{status} $answer->{headers}{'content-length'} ", $answer->{content} // '', "\n";
}
