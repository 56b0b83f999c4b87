//! The HTTP door in TLS: tokens and client certificates.

use crate::http::{Reply, free_port, read, request};
use crate::start;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name` and its key, PEM.
fn certificate(issuer: &Issuer, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

/// Asks for the uptime with this certificate or this token.
fn ask(address: SocketAddr, roots: &Issuer, shown: Option<&(String, String)>, token: Option<&str>) -> Reply {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(roots.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(store);
    let config = match shown {
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    let authorization = token.map(|token| format!("Authorization: Bearer {token}"));
    let headers: Vec<&str> =
        authorization.iter().map(String::as_str).chain(["Content-Type: application/json"]).collect();
    let text = request("POST /rpc", &headers, r#"{"jsonrpc":"2.0","method":"core.uptime","id":1}"#);
    // Who is turned away in the handshake cannot write.
    let _ = stream.write_all(text.as_bytes());
    read(stream)
}

#[test]
fn a_certificate_of_the_client_ca_or_a_token_opens_and_nothing_else_does() {
    let (ours, clients, others) = (authority(), authority(), authority());
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (pem, key) = certificate(&ours, "localhost");
    let address = free_port(9);
    let siplane = start(
        9,
        &format!(
            "[control.http]\nlisten = \"{address}\"\ntokens = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\nclient_role = \"read\"",
            file("tokens", "operate operator-01234567\n"),
            file("server.pem", &pem),
            file("server.key", &key),
            file("clients.pem", &clients.pem()),
        ),
    );
    let known = certificate(&clients, "client");
    assert_eq!(ask(address, &ours, Some(&known), None).status, 200);
    assert_eq!(ask(address, &ours, None, Some("operator-01234567")).status, 200);
    assert_eq!(ask(address, &ours, None, None).status, 401);
    assert_eq!(ask(address, &ours, None, Some("operator-01234566")).status, 401);
    // Signed by somebody else: the handshake fails, whatever token comes with it.
    let foreign = certificate(&others, "client");
    assert_eq!(ask(address, &ours, Some(&foreign), Some("operator-01234567")).status, 0);
    // Plain text gets no answer.
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(request("GET /healthz", &[], "").as_bytes()).unwrap();
    assert_eq!(read(plain).status, 0);
    assert_eq!(siplane.terminate().code(), Some(0));
    fs::remove_dir_all(&directory).unwrap();
}
