//! HTTP/1.1: a web page, JSON-RPC, health, what programs read, and what destinations report.
//!
//! # Policy
//!
//! - Beyond loopback there is always authentication: bearer tokens with roles, or client certificates. The config refuses anything else.
//! - On loopback without tokens everybody on the machine operates, as with the unix socket; but no web page that somebody has open there:
//!   the Host must be an address or `localhost` (a name that points here may be anybody's), and a request to change something must
//!   say that it is JSON, which a page of another origin cannot.
//! - Connections, requests a second, bytes and time of a request are bounded: beyond that 429, 413, 408, or no accept.

mod access;
mod connection;
mod page;
mod report;
mod routes;
mod tls;

use crate::config::HttpSettings;
use crate::control::{Control, who};
use crate::limits;
pub(super) use access::Access;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// The listening socket with its keys.
pub(super) struct Door {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    access: Access,
}

impl core::fmt::Debug for Door {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Door")
            .field("listener", &self.listener)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Door {
    /// Reads the keys and binds the socket.
    pub(super) fn open(settings: &HttpSettings) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", settings.listen));
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        let access = Access::read(settings)?;
        let listener = StdListener::bind(settings.listen).map_err(named)?;
        listener.set_nonblocking(true)?;
        if !settings.listen.ip().is_loopback() && tls.is_none() {
            tracing::warn!(listen = %settings.listen, "HTTP without TLS beyond loopback: tokens can be read on the way");
        }
        Ok(Self { listener: TcpListener::from_std(listener)?, tls, access })
    }

    /// Serves everybody who connects.
    pub(super) async fn serve(self, control: Arc<Control>) {
        let places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS_MAX));
        let router = routes::router(control, self.access);
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let (router, tls) = (router.clone(), self.tls.clone());
                    tokio::spawn(async move {
                        let serve = connection::serve(stream, tls, router);
                        who::on_wish_of(format!("HTTP from {from}"), serve).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the HTTP socket accepts nobody");
                    tokio::time::sleep(limits::ACCEPT_RETRY).await;
                }
            }
        }
    }
}
