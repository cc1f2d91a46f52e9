//! Says back what it is told.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::message;

pub(crate) async fn serve(port: u16, certificate: &str, key: &str) -> Result<()> {
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).context("the certificate")?],
            PrivateKeyDer::from_pem_file(key).context("the key")?,
        )
        .context("what the server is to be")?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening");
    loop {
        let (stream, from) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(why) = converse(stream, acceptor, from.port()).await {
                eprintln!("a connection: {why:#}");
            }
        });
    }
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, from: u16) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await.context("the handshake")?;
    let mut held = Vec::new();
    while let Some(asked) = message::read(&mut stream, &mut held).await? {
        let body = if asked.line.starts_with("GET /port?") {
            from.to_string().into_bytes()
        } else {
            asked.body
        };
        // Others may go first, on another thread.
        tokio::task::yield_now().await;
        message::write(&mut stream, "HTTP/1.1 200 OK", &body).await?;
    }
    Ok(())
}
