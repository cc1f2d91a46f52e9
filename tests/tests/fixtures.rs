//! The fixtures themselves, without an agent: what they say of the traffic is what the other tests
//! measure spans against.

use anyhow::Result;
use wirespan_tests::client::Connection;
use wirespan_tests::curl::Curl;
use wirespan_tests::nginx::{LARGE_BYTES, Options};
use wirespan_tests::python::TlsClient;
use wirespan_tests::{Nats, Nginx, Python};

#[test]
fn nginx_answers_curl_plain_and_tls() -> Result<()> {
    let nginx = Nginx::start(Options {
        workers: 2,
        ..Options::default()
    })?;
    assert_eq!(nginx.workers().len(), 2);
    let upload = nginx.folder().join("root/large.bin");
    let done = Curl::new()
        .trust(&nginx.certificate)
        .get(nginx.url("/hello.txt?a=1"))
        .get(nginx.tls_url("/hello.txt"))
        .request("HEAD", nginx.url("/large.bin"))
        .get(nginx.tls_url("/large.bin"))
        .get(nginx.url("/none"))
        .get(nginx.url("/broken"))
        .get(nginx.url("/text.txt"))
        .header("Accept-Encoding: gzip")
        .request("PUT", nginx.url("/put/one.bin"))
        .body(&upload)
        .request("PUT", nginx.tls_url("/put/one.bin"))
        .chunked(&upload)
        .run()?;
    let statuses: Vec<u16> = done
        .exchanges
        .iter()
        .map(|exchange| exchange.status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 404, 500, 200, 201, 204]);
    assert_eq!(done.exchanges[0].request.query.as_deref(), Some("a=1"));
    assert_eq!(done.exchanges[3].response_bytes, Some(LARGE_BYTES as u64));
    assert_eq!(done.exchanges[3].port, nginx.tls_port);
    assert!(
        done.exchanges
            .iter()
            .all(|exchange| exchange.seconds > 0.0 && exchange.client_pid == done.pid)
    );
    Ok(())
}

#[test]
fn pipelined_and_split_requests_are_answered() -> Result<()> {
    let nginx = Nginx::start(Options::default())?;
    let mut connection = Connection::open(nginx.port)?;
    let exchanges = connection.pipeline(&["/small/1.txt", "/none", "/small/2.txt?x", "/broken"])?;
    let statuses: Vec<u16> = exchanges.iter().map(|exchange| exchange.status).collect();
    assert_eq!(statuses, [200, 404, 200, 500]);
    assert_eq!(
        connection.get_in_pieces("/hello.txt", 3)?[0].response_bytes,
        Some(6)
    );
    Ok(())
}

#[test]
fn python_serves_and_asks_over_tls() -> Result<()> {
    let python = Python::tls()?;
    let certificate = python.certificate.as_ref().expect("a TLS service has one");
    let mut client = TlsClient::start(python.port, certificate)?;
    let exchanges = [
        client.request("GET", "/items/7")?,
        client.request("POST", "/items?x=1")?,
        client.request("GET", "/chunked?n=3")?,
    ];
    let statuses: Vec<u16> = exchanges.iter().map(|exchange| exchange.status).collect();
    assert_eq!(statuses, [200, 201, 200]);
    assert!(exchanges[2].response_bytes > Some(20));
    Ok(())
}

#[test]
fn nats_carries_what_a_stranger_subscribes_to() -> Result<()> {
    let nats = Nats::start()?;
    let mut subscription = nats.subscribe("some.>")?;
    assert!(
        subscription
            .next(std::time::Duration::from_millis(50))
            .is_none()
    );
    Ok(())
}
