//! The web page: what `dispatcher.overview` and `events.list` say, live, with buttons to drain, enable and disable.
//!
//! Policy: the page itself holds no data and anybody may have it; what it shows it asks for over `/rpc`, with the token of whoever looks.
//! It loads nothing from elsewhere, runs no script but its own files, and is in nobody's frame: its Content-Security-Policy says so, and
//! that no text ever becomes markup (`require-trusted-types-for`), whatever a URI holds. There is no cookie.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = &[
    File { path: "/", kind: HTML, text: include_str!("page/index.html") },
    File { path: "/page.css", kind: CSS, text: include_str!("page/page.css") },
    File { path: "/page.js", kind: SCRIPT, text: include_str!("page/page.js") },
    File { path: "/actions.js", kind: SCRIPT, text: include_str!("page/actions.js") },
    File { path: "/charts.js", kind: SCRIPT, text: include_str!("page/charts.js") },
    File { path: "/history.js", kind: SCRIPT, text: include_str!("page/history.js") },
    File { path: "/rpc.js", kind: SCRIPT, text: include_str!("page/rpc.js") },
    File { path: "/tables.js", kind: SCRIPT, text: include_str!("page/tables.js") },
];

/// What comes with each of them. `data:` is the icon that there is not.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Another version may come with the next restart.
    (header::CACHE_CONTROL, "no-cache"),
];

/// A route for each file.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| router.route(file.path, get(move || async move { served(file) })))
}

fn served(file: &'static File) -> Response {
    (HEADERS, [(header::CONTENT_TYPE, file.kind)], file.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_served_and_no_other() {
        let is_named = |file: &&File| {
            let name = file.path.trim_start_matches('/');
            let quoted = [format!("\"/{name}\""), format!("\"./{name}\"")];
            FILES.iter().any(|other| quoted.iter().any(|quoted| other.text.contains(quoted)))
        };
        assert!(FILES.iter().skip(1).all(|file| is_named(&file)));
        let imports =
            FILES.iter().flat_map(|file| file.text.lines()).filter_map(|line| line.split(" from \"./").nth(1));
        for import in imports.map(|rest| format!("/{}", rest.trim_end_matches("\";"))) {
            assert!(FILES.iter().any(|file| file.path == import), "{import}");
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_no_text_becomes_markup() {
        let banned = [
            "//www",
            "http:",
            "https:",
            "\"//",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "localStorage",
            "cookie",
            "style=",
            "onclick=",
            "javascript:",
            "<script>",
            "@import",
            "url(",
        ];
        for file in FILES {
            for word in banned {
                assert!(!file.text.contains(word), "{word} in {}", file.path);
            }
        }
    }
}
