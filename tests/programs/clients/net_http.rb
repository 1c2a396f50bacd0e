# SPDX-License-Identifier: Apache-2.0
# Net::HTTP: in threads, on a connection that is kept, in a forked child: URL
require 'net/http'

url = URI(ARGV[0])
get = ->(path) { Net::HTTP.get_response(URI("#{url}#{path}")) }
p (1..4).map { |n| Thread.new { get["/text?#{n}"].body } }.map(&:value)
Net::HTTP.start(url.host, url.port) do |http|
  p http.get('/big').body.size, http.post('/echo', 'a=1').body, http.head('/text')['content-length']
end
Process.wait(fork { p get['/nothing'].code })
exit $?.exitstatus
