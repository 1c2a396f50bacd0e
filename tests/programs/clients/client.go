// SPDX-License-Identifier: Apache-2.0
// The smallest client: client HOST PORT. Prints the answer to GET /text.
package main

import (
	"io"
	"net"
	"os"
)

func main() {
	conn, err := net.Dial("tcp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err == nil {
		_, err = io.WriteString(conn, "GET /text HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n")
	}
	if err == nil {
		_, err = io.Copy(os.Stdout, conn)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
