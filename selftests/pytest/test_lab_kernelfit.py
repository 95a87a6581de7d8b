# SPDX-License-Identifier: GPL-2.0
"""What counts as drift between our bindings and the kernel's."""

from vtdlab import kernelfit

OURS = """
#[repr(C)]
pub struct pt_iommu {
    pub ops: *const pt_iommu_ops,
}
extern "C" {
    pub fn register_syscore(syscore: *mut syscore);
}
pub type dma_addr_t = u64_;
"""

MODINFO = """filename:       /x/vtd.ko
description:    Intel VT-d
author:         someone
license:        GPL
parm:           strict:wait for every invalidation (int)
depends:
name:           vtd
vermagic:       7.3.4 SMP preempt mod_unload
"""


def test_an_item_of_both_is_shadowed_but_fields_and_methods_are_no_items():
    kernels = ("pub type dma_addr_t = u64_;\npub struct ops {}\n"
               "impl other {\n    pub fn register_syscore(&self) {}\n}\n")
    assert kernelfit.shadowed(OURS, kernels) == ["dma_addr_t"]


def test_a_pattern_must_match_a_whole_name():
    parameters = ("--allowlist-type 'pt_iommu(_ops|)'\n--allowlist-function '(un|)register_sysco'\n"
                  "--with-derive-custom-struct .*=MaybeZeroable\n")
    assert kernelfit.idle(parameters, OURS) == ["(un|)register_sysco"]


def test_modinfo_of_a_good_module_is_accepted():
    assert not kernelfit.judge_modinfo(MODINFO, "7.3.4")


def test_modinfo_names_each_fault():
    bad = (MODINFO.replace("GPL", "BSD").replace("strict:wait for every invalidation (int)",
                                                 "strict:(int)")
           .replace("depends:", "depends:        nvme").replace("author:         someone\n", ""))
    wrong = "\n".join(kernelfit.judge_modinfo(bad, "7.3.40"))
    for word in ("license", "author", "vermagic", "nvme", "parameter strict"):
        assert word in wrong
