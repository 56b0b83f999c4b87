//! What there is to ask for.

use super::access::{Access, Certified, Denied};
use super::{page, report};
use crate::control::doors::{json, kamailio, pretty};
use crate::control::{Control, Role, metrics};
use crate::limits;
use crate::shard::Phase;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// What every route has at hand.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) control: Arc<Control>,
    access: Arc<Access>,
}

/// All routes.
pub(super) fn router(control: Arc<Control>, access: Access) -> Router {
    let desk = Desk { control, access: Arc::new(access) };
    let guarded = Router::new()
        .route("/rpc", post(standard))
        .route("/RPC", post(kamailio))
        .route("/metrics", get(metrics_page))
        .route("/report", post(report::report))
        .route("/role", get(role))
        .route_layer(middleware::from_fn_with_state(desk.clone(), authenticate));
    // Health says nothing about the calls, and those who ask for it have no token.
    let open = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    guarded
        .merge(open)
        .merge(page::router())
        .layer(middleware::from_fn_with_state(desk.clone(), admit))
        .with_state(desk)
}

async fn admit(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    match desk.access.admit(Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.into_response(),
    }
}

async fn authenticate(
    State(desk): State<Desk>,
    Extension(certified): Extension<Certified>,
    mut request: Request,
    next: Next,
) -> Response {
    let role = {
        let text = |name| request.headers().get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
        desk.access.role(text(header::AUTHORIZATION), text(header::HOST), certified)
    };
    match role {
        Ok(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        Err(denied) => denied.into_response(),
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => {
                let wanted = [(header::WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, wanted, "a bearer token is needed\n").into_response()
            }
            Self::TooMany => {
                let later = [(header::RETRY_AFTER, "1")];
                (StatusCode::TOO_MANY_REQUESTS, later, "too many requests\n").into_response()
            }
            Self::Host => (StatusCode::MISDIRECTED_REQUEST, "Host must be an address or localhost\n").into_response(),
        }
    }
}

/// JSON-RPC 2.0 by the book.
async fn standard(State(desk): State<Desk>, Extension(role): Extension<Role>, Document(text): Document) -> Response {
    match json::answer(&desk.control, role, &text).await {
        Some(answer) => in_json(StatusCode::OK, answer.to_string()),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// As Kamailio's xhttp with jsonrpcs answers: a fault is a status code, too.
async fn kamailio(State(desk): State<Desk>, Extension(role): Extension<Role>, Document(text): Document) -> Response {
    let answer = kamailio::document(&desk.control, role, &text, usize::MAX).await;
    // The standard's codes, which are negative, have no status of their own.
    let status =
        |code: &serde_json::Value| code.as_u64().and_then(|code| StatusCode::from_u16(code.try_into().ok()?).ok());
    let status = answer.pointer("/error/code").map(|code| status(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    in_json(status.unwrap_or(StatusCode::OK), pretty::document(&answer))
}

/// The body of a request that is JSON.
struct Document(Vec<u8>);

impl<S: Sync> FromRequest<S> for Document {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let (head, body) = request.into_parts();
        document(&head.headers, body).await.map(Self)
    }
}

/// The body, if it is JSON, small enough, and there in time.
pub(super) async fn document(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Response> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(not_json().into_response());
    }
    whole(body).await
}

pub(super) const fn not_json() -> (StatusCode, &'static str) {
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json\n")
}

/// The body, if it is small enough, and there in time.
pub(super) async fn whole(body: Body) -> Result<Vec<u8>, Response> {
    match timeout(limits::HTTP_REQUEST_TIME_MAX, to_bytes(body, limits::CONTROL_REQUEST_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
        Ok(Err(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n").into_response()),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the request takes too long\n").into_response()),
    }
}

pub(super) fn in_json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// What whoever asks may do: the page shows no button that would be refused.
async fn role(Extension(role): Extension<Role>) -> &'static str {
    role.name()
}

/// What Prometheus reads.
async fn metrics_page(State(desk): State<Desk>, Extension(role): Extension<Role>) -> Response {
    if !role.allows(Role::Read) {
        return (StatusCode::FORBIDDEN, "the role read is needed\n").into_response();
    }
    match metrics::page(&desk.control) {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Alive: this thread answers, and the shards are there.
async fn healthz(State(desk): State<Desk>) -> Response {
    match desk.control.lifecycle().phase() {
        Phase::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped\n").into_response(),
        _ => "alive\n".into_response(),
    }
}

/// Ready for new calls: listening, a table loaded, some destination up. An old table takes calls as well, and is told.
async fn readyz(State(desk): State<Desk>) -> Response {
    match desk.control.why_not_ready() {
        None if desk.control.freshness().has_failed() => {
            let age_s = desk.control.freshness().age().as_secs();
            format!("ready; the last reload failed, what is in force was read {age_s} s ago\n").into_response()
        }
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}
