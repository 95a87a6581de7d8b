// SPDX-License-Identifier: GPL-2.0

//! Message-signalled interrupts of devices that are not on a bus.
//!
//! x86 has no MSI domain for such a device, and the function that the in-tree driver uses is not
//! exported to modules. So this module does what the AMD driver does for its own interrupts: it
//! creates a separate irq domain below the vector domain, whose chip writes the message to the
//! device.
//!
//! Each [`Interrupt`] has a separate domain; one interrupt per domain keeps the ownership simple.
//!
//! Chip and operations are constants: a reader of `/proc/interrupts` may use a chip that was just
//! removed from an interrupt, and a constant in the module outlives that use.
//!
//! C headers: `include/linux/irq.h`, `include/linux/irqdomain.h`.

use crate::bindings;
use crate::pages::NumaNode;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A device that raises one message-signalled interrupt.
pub trait InterruptSource: Send + Sync + 'static {
    /// The name of the chip in `/proc/interrupts`, and the first part of the names of the domains.
    const NAME: &'static CStr;

    /// Returns a number that distinguishes it from other such devices; its domain is called
    /// `NAME-number`.
    fn number(&self) -> u32;
    /// Programs the message into the device.
    ///
    /// # Context
    ///
    /// Interrupts off, must not sleep.
    fn write_msi_msg(&self, address: u64, data: u32);
    /// Masks or unmasks at the device.
    ///
    /// # Context
    ///
    /// Interrupts off, must not sleep.
    fn set_masked(&self, masked: bool);
    /// Handles the interrupt.
    ///
    /// # Context
    ///
    /// Runs in the interrupt's thread; may sleep.
    fn handle(&self);
}

/// A requested interrupt: while it lives, [`InterruptSource::handle`] is called.
///
/// # Invariants
///
/// `virq` is requested with `source` as its cookie and lives in `domain`, which has `fwnode`.
pub struct Interrupt<S: InterruptSource> {
    virq: u32,
    domain: *mut bindings::irq_domain,
    fwnode: *mut bindings::fwnode_handle,
    source: Arc<S>,
}

// SAFETY: The pointers are only used at creation and in `drop`; the source is `Sync`.
unsafe impl<S: InterruptSource> Send for Interrupt<S> {}
// SAFETY: As above.
unsafe impl<S: InterruptSource> Sync for Interrupt<S> {}

/// The chip and the domain's operations. The irq core keeps pointers to both.
struct ChipOps<S>(PhantomData<S>);

impl<S: InterruptSource> ChipOps<S> {
    // `as_char_ptr` is no constant function.
    #[allow(clippy::disallowed_methods)]
    const CHIP: bindings::irq_chip = bindings::irq_chip {
        name: S::NAME.as_ptr().cast(),
        irq_mask: Some(Self::mask),
        irq_unmask: Some(Self::unmask),
        irq_ack: Some(bindings::irq_chip_ack_parent),
        irq_retrigger: Some(bindings::irq_chip_retrigger_hierarchy),
        irq_set_affinity: Some(Self::set_affinity),
        flags: (bindings::IRQCHIP_SKIP_SET_WAKE
            | bindings::IRQCHIP_MASK_ON_SUSPEND
            | bindings::IRQCHIP_AFFINITY_PRE_STARTUP) as usize,
        // SAFETY: Null pointers and absent functions are valid.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };

    const OPS: bindings::irq_domain_ops = bindings::irq_domain_ops {
        alloc: Some(Self::alloc),
        free: Some(bindings::irq_domain_free_irqs_top),
        activate: Some(Self::activate),
        // SAFETY: Null pointers and absent functions are valid.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };

    /// Returns the source of an interrupt.
    ///
    /// # Safety
    ///
    /// `data` must be interrupt data that `alloc` prepared.
    unsafe fn source<'a>(data: *mut bindings::irq_data) -> &'a S {
        // SAFETY: `alloc` stored a source which lives as long as the interrupt.
        unsafe { &*(*data).chip_data.cast::<S>() }
    }

    /// Programs the message of the parent's vector into the device.
    ///
    /// # Safety
    ///
    /// As for [`Self::source`].
    unsafe fn write_msi_msg(data: *mut bindings::irq_data) {
        let (mut low, mut high, mut message) = (0, 0, 0);
        // SAFETY: The parent is the vector domain, which has allocated a vector.
        unsafe {
            bindings::vtd_helper_vector_message(data, &mut low, &mut high, &mut message);
            Self::source(data).write_msi_msg(u64::from(high) << 32 | u64::from(low), message);
        }
    }

    /// Implements `irq_domain_ops::alloc`.
    ///
    /// # Safety
    ///
    /// Called by the irq core, for the domain and with the `arg` of [`Interrupt::allocate`], in
    /// process context.
    unsafe extern "C" fn alloc(
        domain: *mut bindings::irq_domain,
        virq: u32,
        count: u32,
        arg: *mut c_void,
    ) -> i32 {
        // SAFETY: `arg` is the allocation info that `Interrupt::allocate` made.
        let (source, parent) = unsafe {
            (
                (*arg.cast::<bindings::irq_alloc_info>()).data,
                bindings::irq_domain_alloc_irqs_parent(domain, virq, count, arg),
            )
        };
        if parent < 0 {
            return parent;
        }
        // SAFETY: The chip is a constant, and the source outlives the interrupt.
        unsafe {
            bindings::irq_domain_set_info(
                domain,
                virq,
                0,
                &Self::CHIP,
                source,
                Some(bindings::handle_edge_irq),
                ptr::null_mut(),
                c"edge".as_char_ptr(),
            );
        }
        0
    }

    /// Implements `irq_domain_ops::activate`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with data that [`Self::alloc`] prepared, after the parent, the vector
    /// domain, was activated.
    unsafe extern "C" fn activate(
        _domain: *mut bindings::irq_domain,
        data: *mut bindings::irq_data,
        _reserve: bool,
    ) -> i32 {
        // SAFETY: The core activates only what `alloc` prepared, after the vector domain.
        unsafe { Self::write_msi_msg(data) };
        0
    }

    /// Implements `irq_chip::irq_mask`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with data that [`Self::alloc`] prepared, with the lock of its
    /// descriptor held and interrupts off.
    unsafe extern "C" fn mask(data: *mut bindings::irq_data) {
        // SAFETY: Prepared by `alloc`.
        unsafe { Self::source(data) }.set_masked(true);
    }

    /// Implements `irq_chip::irq_unmask`.
    ///
    /// # Safety
    ///
    /// As for [`Self::mask`].
    unsafe extern "C" fn unmask(data: *mut bindings::irq_data) {
        // SAFETY: Prepared by `alloc`.
        unsafe { Self::source(data) }.set_masked(false);
    }

    /// Implements `irq_chip::irq_set_affinity`.
    ///
    /// # Safety
    ///
    /// As for [`Self::mask`], with a valid `mask`.
    unsafe extern "C" fn set_affinity(
        data: *mut bindings::irq_data,
        mask: *const bindings::cpumask,
        force: bool,
    ) -> i32 {
        // SAFETY: The parent is the vector domain, whose chip sets affinities.
        let done = unsafe { bindings::vtd_helper_set_parent_affinity(data, mask, force) };
        if done >= 0 && done != bindings::IRQ_SET_MASK_OK_DONE as i32 {
            // SAFETY: Prepared by `alloc`; the vector may have moved.
            unsafe { Self::write_msi_msg(data) };
        }
        done
    }
}

impl<S: InterruptSource> Interrupt<S> {
    /// Allocates a vector near `node`, programs it into the device and requests the interrupt.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of the irq core; nothing is left behind.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn request(source: Arc<S>, name: &'static CStr, node: NumaNode) -> Result<Self> {
        let cookie = Arc::as_ptr(&source).cast_mut().cast::<c_void>();
        let (domain, fwnode) = Self::new_domain(i32::try_from(source.number())?)?;
        let virq = Self::allocate(domain, cookie, node).and_then(|virq| {
            // SAFETY: The cookie outlives the request (see `drop`).
            let asked = kernel::error::to_result(unsafe {
                bindings::request_threaded_irq(
                    virq,
                    None,
                    Some(Self::thread),
                    bindings::IRQF_ONESHOT as usize,
                    name.as_char_ptr(),
                    cookie,
                )
            });
            asked.map(|()| virq).inspect_err(|_| {
                // SAFETY: Allocated above and not requested.
                unsafe { bindings::irq_domain_free_irqs(virq, 1) }
            })
        });
        match virq {
            // INVARIANT: Requested with the cookie of `source`, in `domain` with `fwnode`.
            Ok(virq) => Ok(Interrupt {
                virq,
                domain,
                fwnode,
                source,
            }),
            Err(e) => {
                // SAFETY: Made above, without interrupts.
                unsafe {
                    bindings::irq_domain_remove(domain);
                    bindings::irq_domain_free_fwnode(fwnode);
                }
                Err(e)
            }
        }
    }

    /// Creates a domain for one interrupt, and the firmware node that it is named by.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of the irq core; nothing is left behind.
    fn new_domain(
        number: i32,
    ) -> Result<(*mut bindings::irq_domain, *mut bindings::fwnode_handle)> {
        // SAFETY: A named firmware node without data; the name is copied.
        let fwnode =
            unsafe { bindings::vtd_helper_alloc_named_id_fwnode(S::NAME.as_char_ptr(), number) };
        if fwnode.is_null() {
            return Err(ENOMEM);
        }
        let info = bindings::irq_domain_info {
            fwnode,
            domain_flags: bindings::IRQ_DOMAIN_FLAG_HIERARCHY,
            hwirq_max: usize::MAX,
            ops: &ChipOps::<S>::OPS,
            // SAFETY: The vector domain exists from early boot on and does not change.
            parent: unsafe { bindings::x86_vector_domain },
            ..Default::default()
        };
        // SAFETY: `info` describes a hierarchical domain whose operations outlive it.
        let domain = unsafe { bindings::irq_domain_instantiate(&info) };
        match kernel::error::from_err_ptr(domain) {
            Ok(domain) => Ok((domain, fwnode)),
            Err(e) => {
                // SAFETY: Allocated above, used by no domain.
                unsafe { bindings::irq_domain_free_fwnode(fwnode) };
                Err(e)
            }
        }
    }

    /// Allocates the interrupt in its domain.
    fn allocate(
        domain: *mut bindings::irq_domain,
        source: *mut c_void,
        node: NumaNode,
    ) -> Result<u32> {
        let mut info = bindings::irq_alloc_info {
            data: source,
            ..Default::default()
        };
        // SAFETY: `info` outlives the call, which passes it to `ChipOps::alloc`.
        let virq = unsafe {
            bindings::__irq_domain_alloc_irqs(
                domain,
                -1,
                1,
                node.raw(),
                (&raw mut info).cast(),
                false,
                ptr::null(),
            )
        };
        u32::try_from(virq).map_err(|_| Error::from_errno(virq))
    }

    /// Implements `irq_handler_t`, as the thread function of `request_threaded_irq()`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with the `cookie` of the request, in the thread of the interrupt,
    /// while it is requested.
    unsafe extern "C" fn thread(_irq: i32, cookie: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: The cookie is the source, which outlives the request.
        unsafe { &*cookie.cast::<S>() }.handle();
        // SAFETY: Has no preconditions.
        unsafe { bindings::vtd_helper_irq_handled() }
    }
}

impl<S: InterruptSource> Drop for Interrupt<S> {
    fn drop(&mut self) {
        let cookie = Arc::as_ptr(&self.source).cast_mut().cast::<c_void>();
        // SAFETY: By the type's invariants; free_irq() waits for a running thread, after which the
        // domain is empty and can go.
        unsafe {
            bindings::free_irq(self.virq, cookie);
            bindings::irq_domain_free_irqs(self.virq, 1);
            bindings::irq_domain_remove(self.domain);
            bindings::irq_domain_free_fwnode(self.fwnode);
        }
    }
}
