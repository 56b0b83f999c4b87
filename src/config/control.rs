//! `[control]`: the doors of the control side.

use super::reader::Section;
use std::path::PathBuf;

/// Which doors there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ControlSettings {
    /// The unix stream socket of `siplane ctl` and kamcmd; none: no such door.
    pub socket: Option<PathBuf>,
}

/// Reads `[control]`.
pub(super) fn control(mut section: Section<'_>) -> ControlSettings {
    let path = |section: &mut Section<'_>, key| {
        let item = section.item(key)?;
        item.text("a path like \"/run/siplane/ctl.sock\"").filter(|text| !text.is_empty()).map(PathBuf::from)
    };
    let settings = ControlSettings { socket: path(&mut section, "socket") };
    section.finish();
    settings
}
