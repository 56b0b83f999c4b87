//! One connection.

use super::access::Certified;
use crate::limits;
use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Serves `stream` until it ends. Whoever is too slow is let go.
pub(super) async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    let Some(tls) = tls else { return speak(stream, router, Certified(false)).await };
    // Who does not speak TLS, or shows a certificate that is not signed by our client CA, is gone.
    let Ok(Ok(stream)) = timeout(limits::HTTP_REQUEST_TIME_MAX, tls.accept(stream)).await else { return };
    let is_certified = stream.get_ref().1.peer_certificates().is_some_and(|shown| !shown.is_empty());
    speak(stream, router, Certified(is_certified)).await;
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router, certified: Certified) {
    let service = TowerToHyperService::new(router.layer(Extension(certified)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits::HTTP_REQUEST_TIME_MAX);
    http.max_buf_size(limits::HTTP_HEAD_BYTES_MAX);
    // An error is a client that went away, was too slow, or sent no HTTP: nothing to do about it.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}
