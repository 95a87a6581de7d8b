# SPDX-License-Identifier: GPL-2.0
"""The functions that vtd.ko takes from the kernel: each either cannot fail or is made to fail.

vtd_inject_calls (selftests/modules/inject_calls.c) replaces those that can fail, so that
selftests/call-failures.sh can make each of their calls fail."""

import pytest

from vtdlab import cache as lab
from vtdlab.build import kernel, module, testmodules

# Look-ups: a missing object is not a failure.
LOOKUPS = {"debugfs_lookup", "iommu_default_passthrough", "iommu_group_dma_owner_claimed",
           "iommu_group_id", "irq_domain_get_irq_data", "irq_get_irq_data", "irq_get_nr_irqs",
           "irqd_cfg", "msi_desc_to_pci_dev", "pci_ats_disabled", "pci_ats_required",
           "pci_ats_supported", "pci_find_dvsec_capability", "pci_get_device",
           "pci_get_domain_bus_and_slot", "pci_num_vf",
           "bcmp", "strcmp"}
# Other reasons. Readers of debugfs files run when a file is used, and only that use fails.
OTHERS = {
    "__seq_open_private": "readers", "seq_read": "readers", "seq_write": "readers",
    "seq_lseek": "readers", "seq_release_private": "readers", "simple_write_to_buffer": "readers",
    "dev_printk_emit": "returns only how much was logged",
    "device_attach": "a driver's probe, which may fail at any time",
    "iommu_alloc_resv_region": "asked with __GFP_NOFAIL",
    "mutex_trylock": "a lock that is held: selftests/detach.sh",
    "_raw_spin_trylock": "a lock that is held: never tried",
    "pci_cfg_access_trylock": "a lock that is held: done without",
    "pm_runtime_get_if_active": "a result, for a device that may be suspended",
    "region_intersects": "a result from the resource tree",
    "queue_delayed_work_on": "returns only whether it was queued already",
    "handle_edge_irq": "given to the core, not called",
    "irq_chip_ack_parent": "given to the core, not called",
    "irq_chip_retrigger_hierarchy": "given to the core, not called",
    "irq_domain_set_hwirq_and_chip": "fails only for an interrupt that was not allocated",
    "sized_strscpy": "a name that is too long is cut",
    "irq_domain_free_irqs_top": "given to the core, not called",
    "kobject_uevent_env": "an event that is lost; the log says the same",
    "delayed_work_timer_fn": "given to the kernel, not called",
}
TRACING = "a trace event that is lost"
OTHERS |= dict.fromkeys((
    "perf_trace_buf_alloc", "trace_event_buffer_reserve", "trace_event_raw_init", "trace_event_reg",
    "trace_handle_return", "trace_print_symbols_seq", "trace_raw_output_prep",
    "__trace_trigger_soft_disabled"), TRACING)
# Functions that return nothing: locks, clocks, copies, taints, and everything that frees.
RETURN_NOTHING = {
    "_raw_spin_lock_irqsave", "_raw_spin_unlock_irqrestore", "mutex_init_generic", "mutex_lock",
    "mutex_unlock", "ktime_get_mono_fast_ns", "jiffies64_to_msecs", "__msecs_to_jiffies",
    "memcpy", "memmove", "memset", "__rcu_read_lock", "__rcu_read_unlock", "__pm_runtime_idle",
    "pci_lock_rescan_remove", "pci_unlock_rescan_remove", "pci_cfg_access_unlock",
    "clflush_cache_range", "add_taint", "refcount_warn_saturate",
    "timer_init_key", "dev_iommu_priv_set", "irq_domain_set_info", "register_syscore",
    "__release_region", "acpi_put_table", "bus_unregister_notifier", "cancel_delayed_work_sync",
    "debugfs_remove", "device_release_driver", "dput", "filp_close", "free_irq", "free_percpu",
    "iommu_device_sysfs_remove", "iommu_device_unregister", "iommu_free_pages",
    "iommu_group_put", "iommu_group_ref_get", "iommu_put_pages_list", "iounmap", "irq_domain_free_fwnode",
    "irq_domain_free_irqs", "irq_domain_free_irqs_common", "irq_domain_remove", "kobject_del", "kobject_put", "module_put",
    "__module_get", "pci_clear_master", "pci_disable_ats", "pci_disable_device", "synchronize_rcu", "preempt_schedule_thunk",
    "pci_dev_get", "pci_dev_put", "unregister_syscore", "__folio_put", "shrinker_free",
    "shrinker_register", "perf_trace_run_bpf_submit", "trace_event_buffer_commit",
    "trace_event_printf", "preempt_schedule_notrace_thunk",
}
VARIABLES = {
    "__preempt_count", "boot_cpu_data", "__cpu_online_mask", "__cpu_possible_mask", "__per_cpu_offset", "apic", "cpu_number",
    "elfcorehdr_addr", "iomem_resource", "jiffies", "kernel_kobj", "mem_section", "nr_cpu_ids",
    "page_offset_base", "_totalram_pages",
    "param_ops_string", "pci_bus_type", "phys_base", "system_freezable_power_efficient_wq",
    "tracepoint_srcu", "this_cpu_off",
    "vmemmap_base", "x2apic_mode", "x86_vector_domain", "__SCK__tp_func_io_page_fault",
    "__SCT__tp_func_io_page_fault", "__tracepoint_io_page_fault",
}
CANNOT_FAIL = LOOKUPS | OTHERS.keys() | RETURN_NOTHING | VARIABLES


@pytest.mark.parametrize("series", kernel.SERIES)
def test_each_function_of_the_kernel_is_known_to_fail_or_not(series):
    """A new function must be added to inject_calls.c, or to the lists above."""
    cache = lab.Cache()
    built = kernel.get(cache, series)
    taken = {name for name in testmodules.imports(module.get(cache, built))
             if not name.startswith("_R")}     # of the kernel crate: Rust's types say what may fail
    made_to = testmodules.stand_ins(testmodules.get(built, cache))
    assert made_to <= taken, "vtd_inject_calls replaces functions that the driver does not call"
    assert taken - made_to <= CANNOT_FAIL, "not known whether these can fail"
    assert not CANNOT_FAIL & made_to
