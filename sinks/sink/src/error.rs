//! Why a sink does not deliver.

/// Why a sink could not be opened or has failed for good. The message ends with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}; {remedy}")]
pub struct SinkError {
    pub what: String,
    pub reason: String,
    pub remedy: String,
    /// The reader went away on its own account (a closed pipe): an end, not a failure.
    pub closed: bool,
}

impl SinkError {
    #[must_use]
    pub fn new(what: impl Into<String>, reason: impl ToString, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            reason: reason.to_string(),
            remedy: remedy.into(),
            closed: false,
        }
    }

    /// Nobody reads any more.
    #[must_use]
    pub fn closed(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            reason: "the reader has closed it".to_owned(),
            remedy: "nothing is to be done".to_owned(),
            closed: true,
        }
    }
}
