// SPDX-License-Identifier: GPL-2.0

//! Tests of the DMAR parser: every structure, every possible problem, and arbitrary bytes.

mod dmar_build;
mod dmar_corpus;
mod dmar_corpus_contents;
mod dmar_corpus_tables;
mod dmar_exercise;
mod dmar_good;
mod dmar_odd;
mod dmar_random;
mod dmar_refused;
mod dmar_reports;
mod dmar_select;
