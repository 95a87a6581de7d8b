// SPDX-License-Identifier: GPL-2.0

//! The files of the driver that run under loom with their text adapted.

/// Files of the driver that form one module: their names, the replacements for the model, the text
/// appended, and the mistakes (a name, the text in the file, the text that replaces it).
///
/// Several files form a module with one submodule for each, which has the name of their folder.
pub(crate) struct Subject {
    pub(crate) files: &'static [&'static str],
    pub(crate) adapted: &'static [(&'static str, &'static str)],
    pub(crate) appended: &'static str,
    pub(crate) mistakes: &'static [(&'static str, &'static str, &'static str)],
}
