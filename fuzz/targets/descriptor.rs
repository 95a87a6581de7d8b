// SPDX-License-Identifier: GPL-2.0

//! Decodes any 128 bits as a descriptor of either width, a context entry and a fault record. A
//! descriptor that was decoded must be the same after it is encoded and decoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vtd_core::spec::context::ContextEntry;
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::fault::FaultRecord;

fuzz_target!(|words: [u64; 2]| {
    match Descriptor::decode(words) {
        Ok(descriptor) => assert_eq!(Descriptor::decode(descriptor.encode()), Ok(descriptor)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let [low, high] = words;
    if let Ok(descriptor) = Descriptor::decode_wide([low, high, 0, 0]) {
        assert_eq!(
            Descriptor::decode_wide(descriptor.encode_wide()),
            Ok(descriptor)
        );
    }
    assert_eq!(ContextEntry::from_words(low, high).words(), words);
    if let Some(fault) = FaultRecord::decode(low, high) {
        assert!(fault.to_string().contains("reason 0x"), "{fault}");
    }
});
