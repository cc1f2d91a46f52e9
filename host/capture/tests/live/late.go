// TLS connections that are gone before what was written or read on them has returned. Argument: a port.
// Waits for a line, makes one connection for each letter of KINDS, and says so.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const (
	kinds  = "wpr"
	answer = 400 // one record
)

// The connection beneath: once it is armed the next call goes through, and then does something else.
type beneath struct {
	net.Conn
	kind  byte
	armed bool
	peer  chan struct{}
}

func (b *beneath) Write(bytes []byte) (int, error) {
	count, err := b.Conn.Write(bytes)
	if b.armed && b.kind == 'w' {
		b.end()
	}
	if b.armed && b.kind == 'p' {
		panic("on purpose")
	}
	return count, err
}

func (b *beneath) Read(bytes []byte) (int, error) {
	count, err := b.Conn.Read(bytes)
	if b.armed && b.kind == 'r' {
		b.end()
	}
	return count, err
}

// Closes the connection when the peer has, and waits until the kernel has forgotten it.
func (b *beneath) end() {
	<-b.peer
	port := func(address net.Addr) string { return fmt.Sprintf(":%04X ", address.(*net.TCPAddr).Port) }
	local, remote := port(b.LocalAddr()), port(b.RemoteAddr())
	check(b.Conn.Close())
	for {
		table, err := os.ReadFile("/proc/self/net/tcp")
		check(err)
		there := false
		for _, line := range strings.Split(string(table), "\n") {
			first := strings.Index(line, local)
			there = there || first >= 0 && strings.Contains(line[first:], remote)
		}
		if !there {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func serve(raw net.Conn, config *tls.Config, peer chan struct{}) {
	under := &beneath{Conn: raw, peer: peer}
	end := tls.Server(under, config)
	kind := make([]byte, 1)
	_, err := io.ReadFull(end, kind)
	check(err)
	under.kind = kind[0]
	if under.kind == 'r' {
		_, err = end.Write(kind)
		check(err)
		under.armed = true
		_, err = io.ReadFull(end, make([]byte, answer))
		check(err)
		return
	}
	func() {
		defer func() { recover() }()
		under.armed = true
		_, err = end.Write(make([]byte, answer))
		check(err)
	}()
	// One that has panicked is open still.
	raw.Close()
}

func call(address string, kind byte, config *tls.Config, closed chan struct{}) {
	raw, err := net.Dial("tcp", address)
	check(err)
	end := tls.Client(raw, config)
	_, err = end.Write([]byte{kind})
	check(err)
	if kind == 'r' {
		_, err = io.ReadFull(end, make([]byte, 1))
		check(err)
		_, err = end.Write(make([]byte, answer))
		check(err)
	} else {
		_, err = io.ReadFull(end, make([]byte, answer))
		check(err)
	}
	check(raw.Close())
	close(closed)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	check(err)
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}, InsecureSkipVerify: true}
	fmt.Println("ready")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	for _, kind := range []byte(kinds) {
		closed, served := make(chan struct{}), make(chan struct{})
		go call(listener.Addr().String(), kind, config, closed)
		raw, err := listener.Accept()
		check(err)
		go func() {
			serve(raw, config, closed)
			close(served)
		}()
		<-closed
		<-served
	}
	fmt.Println("done")
	// What was left by a panic is found out about while the process lives.
	bufio.NewReader(os.Stdin).ReadString('\n')
}
