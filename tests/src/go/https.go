// An HTTPS server and client of Go's standard library.
//
//	https serve PORT CERTIFICATE KEY
//	https ask PORT CERTIFICATE 1|2     requests as JSON on standard input
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type ask struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   int    `json:"body"`
}

type report struct {
	Method  string  `json:"method"`
	Path    string  `json:"path"`
	Status  int     `json:"status"`
	Bytes   int     `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

func answer(to http.ResponseWriter, request *http.Request) {
	received, err := io.Copy(io.Discard, request.Body)
	if err != nil {
		return
	}
	parts := strings.Split(request.URL.Path, "/")
	number, _ := strconv.Atoi(parts[len(parts)-1])
	switch parts[1] {
	case "items":
		fmt.Fprintf(to, "item %d, %d bytes\n", number, received)
	case "bytes":
		to.Header().Set("Content-Length", strconv.Itoa(number))
		to.Write(bytes.Repeat([]byte("b"), number))
	case "slow":
		time.Sleep(time.Duration(number) * time.Millisecond)
		fmt.Fprintln(to, "at last")
	case "pieces":
		for piece := 0; piece < number; piece++ {
			fmt.Fprintf(to, "piece %d\n", piece)
			to.(http.Flusher).Flush()
		}
	case "fail":
		http.Error(to, "on purpose", http.StatusInternalServerError)
	default:
		http.NotFound(to, request)
	}
}

func serve(port, certificate, key string) {
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: http.HandlerFunc(answer)}
	go func() {
		// The port is taken when a connection succeeds.
		for {
			connection, err := tls.Dial("tcp", server.Addr, &tls.Config{InsecureSkipVerify: true})
			if err == nil {
				connection.Close()
				fmt.Println("listening")
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	log.Fatal(server.ListenAndServeTLS(certificate, key))
}

func client(certificate string, version string) *http.Client {
	pem, err := os.ReadFile(certificate)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: version == "2",
		// Few, so that connections are used again.
		MaxConnsPerHost:     4,
		MaxIdleConnsPerHost: 4,
	}}
}

func do(client *http.Client, base string, ask ask) (report, error) {
	var body io.Reader
	if ask.Body > 0 {
		body = bytes.NewReader(bytes.Repeat([]byte("u"), ask.Body))
	}
	request, err := http.NewRequest(ask.Method, base+ask.Path, body)
	if err != nil {
		return report{}, err
	}
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return report{}, err
	}
	got, err := io.ReadAll(response.Body)
	response.Body.Close()
	seconds := time.Since(start).Seconds()
	return report{ask.Method, ask.Path, response.StatusCode, len(got), seconds}, err
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	}
	var asks []ask
	if err := json.NewDecoder(os.Stdin).Decode(&asks); err != nil {
		log.Fatal(err)
	}
	client := client(os.Args[3], os.Args[4])
	base := "https://127.0.0.1:" + os.Args[2]
	var printing sync.Mutex
	run := func(ask ask) {
		report, err := do(client, base, ask)
		if err != nil {
			log.Fatal(err)
		}
		printing.Lock()
		json.NewEncoder(os.Stdout).Encode(report)
		printing.Unlock()
	}
	// The first alone, so that of HTTP/2 the others share its connection.
	run(asks[0])
	var all sync.WaitGroup
	for _, one := range asks[1:] {
		all.Add(1)
		go func(one ask) {
			defer all.Done()
			run(one)
		}(one)
	}
	all.Wait()
	client.CloseIdleConnections()
}
