// SPDX-License-Identifier: GPL-2.0

//! The files of the driver that run under loom, and the mistakes that loom must find in them.

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

/// The files of the driver, with their mistakes.
pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        files: &[
            "device/attachment.rs",
            "device/info.rs",
            "device/ownership.rs",
            "device/attach.rs",
        ],
        adapted: &[
            ("crate::unit::", "crate::shim::group_unit::"),
            ("super::access_control::", "crate::shim::attach_checks::"),
            ("super::address_history::", "crate::shim::attach_checks::"),
            ("super::neighbours::", "crate::shim::attach_checks::"),
            ("super::rate_limit::", "crate::shim::attach_checks::"),
            ("super::regions::", "crate::shim::attach_checks::"),
            ("super::untranslated::", "crate::shim::attach_checks::"),
            ("kernel::sync::", "crate::shim::sync::"),
            ("Arc::pin_init(", "crate::shim::sync::pin_init("),
            // The records that the tests compare with the installed entries.
            ("struct GroupRecord {", "pub(crate) struct GroupRecord {"),
            (
                "    group: GroupState,\n}\n\n/// One",
                "    pub(crate) group: GroupState,\n}\n\n/// One",
            ),
            ("fn find(", "pub(crate) fn find("),
        ],
        // For the mistakes that lock the records again, or do not lock them.
        appended: "impl ownership::Ownership {
                fn commit(&self, device: &crate::shim::pci::PciDevice, grant: ownership::Grant)
                    -> vtd_core::ownership::OwnerState {
                    self.lock().commit(device, grant)
                }
            }
            struct Committed(vtd_core::ownership::OwnerState);
            impl Committed {
                fn commit(&self, _: &crate::shim::pci::PciDevice, _: ())
                    -> vtd_core::ownership::OwnerState {
                    self.0
                }
            }",
        mistakes: &[
            (
                "unlocked_before_install",
                "(RefusedBy::Owner))?;",
                "(RefusedBy::Owner))?; drop(groups); let groups = &*info.ownership;",
            ),
            (
                "installed_after_unlock",
                "(RefusedBy::Owner))?;",
                "(RefusedBy::Owner))?; let groups = { let committed = groups.commit(&info.pci, grant); \
                 drop(groups); super::Committed(committed) }; let grant = ();",
            ),
            (
                "never_checked",
                "Err(refusal) => Err(Refused {",
                "Err(_) if true => Ok(Grant { id, group, state: state.owner_state }), \
                 Err(refusal) => Err(Refused {",
            ),
            (
                "not_committed",
                "state.owner_state = groups.commit(&info.pci, grant);",
                "drop(grant);",
            ),
            (
                "not_recorded",
                "record.group = grant.group;",
                "let _ = grant.group;",
            ),
            (
                "not_stored",
                "state.owner_state = groups.commit(",
                "let _ = groups.commit(",
            ),
            (
                "checked_another",
                "self.find(id).ok_or(ENODEV)?",
                "self.find_or_add(id + 1)?",
            ),
            (
                "removed_first",
                "    if !stays_attached {\n        block(info);\n    }\n    info.leave_group();\n",
                "    let _ = stays_attached; info.leave_group();\n    block(info);\n",
            ),
            (
                "never_removed",
                "block(info);\n    }\n    info.leave_group();",
                "block(info);\n    }",
            ),
            (
                "all_removed",
                "if record.members.is_empty() && record.reserved == 0 {",
                "if true {",
            ),
            (
                "reserved_ignored",
                "record.members.is_empty() && record.reserved == 0",
                "record.members.is_empty()",
            ),
            (
                "first_refused",
                "let Some(old) = args.old else {\n        return true;",
                "let Some(old) = args.old else {\n        return false;",
            ),
            (
                "granted_unrecorded",
                "if !accept_while_failed(info, &state, args) {",
                "if accept_while_failed(info, &state, args) { return Ok(()); } else {",
            ),
        ],
    },
    Subject {
        files: &["domain/flush_list.rs", "domain/attachments.rs"],
        adapted: &[],
        appended: "",
        mistakes: &[
            (
                "one_by_one",
                "if let Some(id) = self.get(unit, published) {",
                "if let Some(id) = None {",
            ),
            (
                "added_unpublished",
                "self.flush_list.publish(published, tag);",
                "let _ = (published, tag);",
            ),
            (
                "not_published",
                "self.flush_list.publish(published, entry.tag());",
                "let _ = published;",
            ),
            (
                "never_withdrawn",
                "self.flush_list.withdraw(published);",
                "let _ = published;",
            ),
            (
                "published_for_another",
                "all.other_tags.get(at)",
                "all.other_tags.get(at.min(1))",
            ),
            (
                "not_retained",
                "Some(taken) => taken,",
                "Some(_) => AllocatedDomainId::allocate(unit, id_owner)?,",
            ),
            (
                "unit_not_retained",
                "if !self.units_retained.load(Ordering::Relaxed) {",
                "if true {",
            ),
        ],
    },
    Subject {
        files: &["../rust/tables/memory.rs"],
        adapted: &[],
        appended: "",
        mistakes: &[
            ("reader_trusts_writer", "entry & F::IGNORED == 0", "false"),
            (
                "loser_trusts_winner",
                "is_link::<F, L>(there) && there & F::IGNORED == 0",
                "linked.is_ok()",
            ),
            (
                "marked_before_written_back",
                "unsafe { table_pages::write_back(table.0, index, 1) };\n        \
                 let slot = table.entry(index);",
                "let slot = table.entry(index);\n        \
                 slot.fetch_or(F::IGNORED, Ordering::Release);\n        \
                 unsafe { table_pages::write_back(table.0, index, 1) };",
            ),
            (
                "overwritten",
                "slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire)",
                "Ok::<u64, u64>(slot.swap(link, Ordering::AcqRel))",
            ),
            (
                "relaxed_link",
                "slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire)",
                "slot.compare_exchange(0, link, Ordering::Relaxed, Ordering::Relaxed)",
            ),
        ],
    },
];
