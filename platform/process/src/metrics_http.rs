//! A small HTTP port for Prometheus and for liveness probes. It carries no part of the public interface.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Binds `address` (port 0 picks a free one) and returns the bound address and the task that serves `/metrics` and
/// `/healthz` until `shutdown`; hand the task to `Shutdown::spawn`.
pub async fn serve(
    address: SocketAddr,
    registry: Registry,
    shutdown: CancellationToken,
) -> io::Result<(SocketAddr, impl Future<Output = anyhow::Result<()>> + Send + 'static)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let router =
        Router::new().route("/metrics", get(metrics)).route("/healthz", get(|| async { "ok\n" })).with_state(registry);
    let task = async move {
        axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
        Ok(())
    };
    Ok((bound, task))
}

async fn metrics(State(registry): State<Registry>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => {
            let content_type = [(header::CONTENT_TYPE, encoder.format_type().to_owned())];
            (content_type, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics not encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn get_text(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_and_liveness_are_served_until_shutdown() {
        let registry = Registry::new();
        let counter = prometheus::IntCounter::new("frames_seen_total", "Frames seen").unwrap();
        counter.inc_by(3);
        registry.register(Box::new(counter)).unwrap();
        let shutdown = CancellationToken::new();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, task) = serve(any_port, registry, shutdown.clone()).await.unwrap();
        let task = tokio::spawn(task);

        let metrics = get_text(address, "/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.contains("\nframes_seen_total 3\n"), "{metrics}");
        assert!(get_text(address, "/healthz").await.ends_with("\r\n\r\nok\n"));
        assert!(get_text(address, "/else").await.starts_with("HTTP/1.1 404"));

        shutdown.cancel();
        task.await.unwrap().unwrap();
    }
}
