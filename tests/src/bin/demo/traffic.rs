//! What an ordinary afternoon looks like, in two seconds.

use anyhow::Result;
use wirespan_tests::curl::Curl;
use wirespan_tests::{Exchange, Nginx, Python};

/// Plain and TLS, keep-alive, bodies both ways, chunked, errors, and one slow endpoint.
pub(crate) fn send(nginx: &Nginx, orders: &Python) -> Result<Vec<Exchange>> {
    let upload = nginx.folder().join("root/text.txt");
    let curl = || Curl::new().option("--insecure");
    let mut exchanges = Vec::new();

    let mut site = curl();
    for number in 0..12 {
        site = site.get(nginx.url(&format!("/hello.txt?visit={number}")));
        site = site.get(nginx.tls_url(&format!("/hello.txt?visit={number}&tls")));
    }
    let site = site
        .request("HEAD", nginx.url("/large.bin"))
        .get(nginx.url("/large.bin"))
        .get(nginx.tls_url("/large.bin?tls"));
    let site = site
        .get(nginx.url("/favicon.ico"))
        .get(nginx.tls_url("/favicon.ico?tls"))
        .get(nginx.url("/broken"));
    let site = site
        .request("PUT", nginx.tls_url("/put/report.txt"))
        .body(&upload);
    exchanges.extend(site.run()?.exchanges);

    let mut shop = curl();
    for number in 0..10 {
        shop = shop.get(orders.url(&format!("/items/7?customer={number}")));
    }
    for number in 0..5 {
        shop = shop
            .request("POST", orders.url(&format!("/items?customer={number}")))
            .body(&upload);
        shop = shop.get(orders.url(&format!("/slow?ms={}", 15 + 10 * number)));
    }
    let shop = shop
        .request("POST", orders.url("/items?chunked"))
        .chunked(&upload);
    let shop = shop
        .get(orders.url("/chunked?n=30"))
        .request("DELETE", orders.url("/items/7"))
        .get(orders.url("/fail"))
        .get(orders.url("/busy"));
    exchanges.extend(shop.run()?.exchanges);
    Ok(exchanges)
}
