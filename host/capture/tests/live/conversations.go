// Many TLS connections at once between goroutines of one process, on stacks that grow and move while
// bytes pass. Arguments: port, number of connections, rounds of each. Waits for a line; at the end it
// says how many calls of Read and Write there were.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

var calls uint64

// Reads into a buffer on the stack, below so many frames that the stack has to move.
//
//go:noinline
func readDeep(from *tls.Conn, depth int, into []byte) (int, error) {
	var frame [512]byte
	if depth > 0 {
		frame[depth%512] = 1
		got, err := readDeep(from, depth-1, into)
		return got + int(frame[(depth+1)%512]), err
	}
	var buffer [1000]byte
	want := len(into)
	if want > len(buffer) {
		want = len(buffer)
	}
	got, err := from.Read(buffer[:want])
	atomic.AddUint64(&calls, 1)
	copy(into, buffer[:got])
	return got, err
}

//go:noinline
func writeDeep(to *tls.Conn, depth int, bytes []byte) error {
	var frame [512]byte
	if depth > 0 {
		frame[depth%512] = 1
		err := writeDeep(to, depth-1, bytes)
		frame[0]++
		return err
	}
	_, err := to.Write(bytes)
	atomic.AddUint64(&calls, 1)
	return err
}

// Each connection says something else in each round, from 1 to 20,000 bytes.
func said(connection, round int) []byte {
	length := 1 + (connection*7919+round*104729)%20000
	bytes := make([]byte, length)
	state := uint32(connection*65537 + round*257 + 1)
	for index := range bytes {
		state = state*1664525 + 1013904223
		bytes[index] = byte(state >> 24)
	}
	return bytes
}

// A goroutine for each exchange, so that none has a stack that has grown already.
func fresh(work func() error) {
	done := make(chan error)
	go func() { done <- work() }()
	check(<-done)
}

func receive(from *tls.Conn, bytes int, depth int) []byte {
	got := make([]byte, bytes)
	for filled := 0; filled < bytes; {
		fresh(func() error {
			count, err := readDeep(from, depth, got[filled:])
			filled += count
			if err == io.EOF && filled == bytes {
				return nil
			}
			return err
		})
	}
	return got
}

func send(to *tls.Conn, bytes []byte, depth int) {
	fresh(func() error { return writeDeep(to, depth, bytes) })
}

func main() {
	runtime.GOMAXPROCS(8)
	connections, err := strconv.Atoi(os.Args[2])
	check(err)
	rounds, err := strconv.Atoi(os.Args[3])
	check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	check(err)
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}, InsecureSkipVerify: true}
	fmt.Println("ready")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)

	var all sync.WaitGroup
	serve := func(raw net.Conn) {
		defer all.Done()
		defer raw.Close()
		end := tls.Server(raw, config)
		number := receive(end, 2, 0)
		connection := int(number[0])<<8 | int(number[1])
		for round := 0; round < rounds; round++ {
			want := said(connection, round)
			got := receive(end, len(want), (connection+round)%200)
			if string(got) != string(want) {
				check(fmt.Errorf("connection %d: round %d differs", connection, round))
			}
			send(end, got, (connection*3+round)%200)
		}
		if _, err := end.Read(make([]byte, 1)); err != io.EOF {
			check(fmt.Errorf("no end: %v", err))
		}
	}
	call := func(connection int) {
		defer all.Done()
		raw, err := net.Dial("tcp", listener.Addr().String())
		check(err)
		defer raw.Close()
		end := tls.Client(raw, config)
		// Handshakes are made by the first call, or before it.
		if connection%2 == 0 {
			check(end.Handshake())
		}
		send(end, []byte{byte(connection >> 8), byte(connection)}, 0)
		for round := 0; round < rounds; round++ {
			bytes := said(connection, round)
			send(end, bytes, (connection+round*5)%200)
			if string(receive(end, len(bytes), (connection*7+round)%200)) != string(bytes) {
				check(fmt.Errorf("connection %d: the answer of round %d differs", connection, round))
			}
		}
		check(end.Close())
	}
	all.Add(2 * connections)
	go func() {
		for {
			raw, err := listener.Accept()
			check(err)
			go serve(raw)
		}
	}()
	for connection := 0; connection < connections; connection++ {
		go call(connection)
	}
	all.Wait()
	fmt.Println("done", calls)
}
