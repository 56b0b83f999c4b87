//! On whose wish something is done, as far as the door knows it.

use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static WHO: Arc<str>;
}

/// Does `work` on the wish of `who`: what it does is told with that.
pub(super) async fn on_wish_of<F: Future>(who: String, work: F) -> F::Output {
    WHO.scope(Arc::from(who), work).await
}

/// `work` for a task of its own, on the wish of whom the running one works for.
pub(super) fn with_mine<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let who = who();
    async move {
        match who {
            Some(who) => WHO.scope(who, work).await,
            None => work.await,
        }
    }
}

/// On whose wish the running task works; none: its door does not say.
pub(super) fn who() -> Option<Arc<str>> {
    WHO.try_with(Arc::clone).ok()
}
