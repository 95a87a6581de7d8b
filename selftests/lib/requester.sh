# SPDX-License-Identifier: GPL-2.0
#
# Drives a vtd-requester (1b36:00f0) by its registers, which Documentation/qemu-units.rst describes.
# Sourced after isolation.sh.
# shellcheck shell=dash disable=SC2034

ATS=15 PASID=27
READ=1 WRITE=2 TRANSLATE=3 INTERRUPT=5 DISCARD=6
WITH_PASID=1 FOR_WRITE=2 USE_KEPT=8 AS_TRANSLATED=16
# What STATUS says.
COMPLETE=0 REFUSED=1 BLOCKED=2 NOT_KEPT=3 NOT_ENABLED=4

# registers_of BDF: prints the address of its registers.
registers_of() {
	head -n1 "$PCI/$1/resource" | cut -d' ' -f1
}

# register_of BDF OFFSET [VALUE]: prints or writes a register.
register_of() {
	devmem $(($(registers_of "$1") + $2)) 64 ${3+"$3"}
}

# sends_of BDF COMMAND ADDRESS FLAGS [VALUE]: makes the device send a request; prints its status.
sends_of() {
	register_of "$1" 0x18 "$3"
	register_of "$1" 0x20 "${5-0x41}"
	register_of "$1" 0x28 0x123
	register_of "$1" 0x30 "$4"
	register_of "$1" 0x38 1
	register_of "$1" 0x08 "$2"
	echo $(($(register_of "$1" 0x10)))
}
