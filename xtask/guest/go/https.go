// HTTP over Go's own TLS.
//
//	https serve    answers every request
//	https fetch    asks once
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"os"
	"syscall"
	"time"
)

const address = "127.0.0.1:8444"

// The server's certificate, which nobody vouches for: files would have to be carried into the machine.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
	}
	made, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}
}

func serve() {
	server := &http.Server{
		Addr: address,
		Handler: http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(to, "hello, kernel")
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}},
		// A look whether it listens yet is no request.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}

func fetch() {
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	response, err := client.Get("https://" + address + "/go")
	for tries := 0; errors.Is(err, syscall.ECONNREFUSED) && tries < 500; tries++ {
		time.Sleep(20 * time.Millisecond)
		response, err = client.Get("https://" + address + "/go")
	}
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || string(body) != "hello, kernel\n" {
		log.Fatalf("the server answered %s %q, %v", response.Status, body, err)
	}
	response.Body.Close()
	client.CloseIdleConnections()
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
	}
	fetch()
}
