// An HTTPS server whose answer is sent and its connection closed long before `Write` returns.
//
//	late serve PORT CERTIFICATE KEY MILLISECONDS
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Once it is late, a write ends the connection and is held up.
type connection struct {
	net.Conn
	late time.Duration
}

func (to *connection) Write(bytes []byte) (int, error) {
	sent, err := to.Conn.Write(bytes)
	if to.late > 0 {
		to.Conn.Close()
		time.Sleep(to.late)
	}
	return sent, err
}

func serve(plain *connection, config *tls.Config, late time.Duration) {
	secured := tls.Server(plain, config)
	if secured.Handshake() != nil {
		return
	}
	if _, err := http.ReadRequest(bufio.NewReader(secured)); err != nil {
		return
	}
	plain.late = late
	fmt.Fprint(secured, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlate\n")
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	milliseconds, err := strconv.Atoi(os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	for {
		plain, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(&connection{Conn: plain}, config, time.Duration(milliseconds)*time.Millisecond)
	}
}
