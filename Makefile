# SPDX-License-Identifier: GPL-2.0
#
# The commands for users and developers; see 'make help'. The kernel's build system
# compiles the module by the file Kbuild, next to this one.
#
# With KDIR, on the command line or in the environment, the module is built
# here against that kernel. Without it, everything is built in the build root
# against the test kernel, and the checkout is not changed.

MAKEFLAGS += --no-print-directory
# The command of make guest is passed on as it is. Before anything else, because make expands it for
# each program that it runs.
ifneq ($(value RUN),)
override RUN := $(value RUN)
endif
# A script may pass a variable that it has not set as an empty one. Refuse that: the
# default may be hours of other work.
EMPTY := $(strip $(foreach name,KDIR KERNEL MACHINE SERIES T SECTION ROUNDS ROW DRIVER FUZZ_SECONDS FUZZ_SEED \
	RUN DEVICE IOMMU GDB ACCEL APPEND STAGE,\
	$(if $(findstring command line,$(origin $(name))),$(if $(strip $(value $(name))),,$(name)))))
ifneq ($(EMPTY),)
$(error $(EMPTY) is given without a value: give one, or leave '$(firstword $(EMPTY))=' out)
endif

ENTER := scripts/enter
LAB := $(ENTER) python3 -m vtdlab
IN_SCALABLE_MODE := $(addprefix --scalable --stage ,$(STAGE))
DEBIAN_WAYS := $(or $(T),install packages)
INSTALL_KDIR := $(or $(KDIR),/lib/modules/$(shell uname -r)/build)

export SERIES VTD_CACHE KDIR DESTDIR PREFIX BOOT_PARAMETERS

.PHONY: module run guest debian deb debian-check check host-check guest-check check-units check-scalable check-debug check-races \
	vfio-selftests firmware user-fuzz bench bench-instructions bench-record bench-profile coverage fuzz lint fmt fmt-check clippy \
	docs pictures kernel shell tool install-tool uninstall-tool modules_install install uninstall clean distclean help

ifdef KDIR
module: ; @$(call kbuild,$(KDIR),modules)
else
module: ; @$(LAB) module
endif

# $(call kbuild,KDIR,TARGETS): checks KDIR first, so that a wrong one is explained in a
# sentence, before the kernel's make fails. Not with abspath, which splits at spaces.
define kbuild
kdir=$$(realpath -ms -- '$(subst ','\'',$(1))') && flags=$$(scripts/kdir "$$kdir") && \
	$(MAKE) -C "$$kdir" M='$(CURDIR)' $$flags $(2)
endef

run:
	@$(LAB) run $(addprefix --kernel ,$(KERNEL)) $(addprefix --machine ,$(MACHINE)) \
		$(addprefix --driver ,$(DRIVER)) $(addprefix --iommu ,$(IOMMU))

guest: export RUN := $(RUN)
guest: export DEVICE := $(DEVICE)
guest: export APPEND := $(APPEND)
guest: export MACHINE := $(MACHINE)
guest:
	@scripts/vtd-guest $(if $(value RUN),--run="$$RUN") $(if $(DEVICE),--device="$$DEVICE") \
		$(if $(APPEND),--append="$$APPEND") $(if $(MACHINE),--machine="$$MACHINE") \
		$(addprefix --driver ,$(DRIVER)) $(addprefix --iommu ,$(IOMMU)) \
		$(addprefix --kernel ,$(KERNEL)) $(addprefix --accel ,$(ACCEL)) $(if $(filter-out 0,$(GDB)),--gdb)

debian:
	@$(LAB) debian

deb:
	@$(LAB) deb

debian-check:
	@$(if $(filter packages,$(DEBIAN_WAYS)),$(LAB) deb)
	@set -e; for way in $(DEBIAN_WAYS); do scripts/debian-image $$way; $(LAB) debian-check $$way; done

check:
	@$(LAB) check

host-check:
	@$(LAB) check --host

guest-check:
	@$(LAB) check --guest

check-units:
	@$(LAB) check --units $(addprefix --machine ,$(MACHINE))

check-scalable:
	@$(LAB) check --scalable $(addprefix --stage ,$(STAGE))

check-debug:
	@$(LAB) check --debug $(IN_SCALABLE_MODE)

check-races:
	@$(LAB) check --races $(IN_SCALABLE_MODE)

bench:
	@$(LAB) bench $(addprefix --section ,$(SECTION)) $(addprefix --rounds ,$(ROUNDS))

bench-instructions:
	@$(LAB) bench --section instructions

bench-record:
	@$(LAB) bench --record

bench-profile:
	@$(if $(ROW),,$(error ROW is missing: name the row to profile, such as ROW="4K map", ROW=attach or ROW=load))
	@$(LAB) bench --profile '$(ROW)' $(if $(DRIVER),--driver $(DRIVER)) $(if $(MODE),--mode $(MODE))

vfio-selftests:
	@$(LAB) check --guest --series 7.3 --test vfio-selftests

user-fuzz:
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) $(LAB) check --guest --series $(or $(SERIES),7.3) --test user-fuzz

firmware:
	@FIRMWARE=all T=guest_firmware $(LAB) check --guest

coverage:
	@$(ENTER) python3 -m vtdlab.commands.coverage

fuzz:
	@$(ENTER) fuzz/run $(or $(FUZZ_SECONDS),600) keep

lint:
	@$(LAB) lint

fmt:
	@$(LAB) lint --fix

fmt-check:
	@$(LAB) lint rustfmt

clippy:
	@$(LAB) lint clippy

docs:
	@$(LAB) docs

pictures:
	@$(LAB) docs --pictures

kernel:
	@$(LAB) kernel

shell:
	@$(ENTER) bash

tool:
	@$(LAB) tool

install-tool:
	@scripts/install-tool

uninstall-tool:
	@scripts/install-tool uninstall

modules_install:
	@$(call kbuild,$(INSTALL_KDIR),modules)
	@$(call kbuild,$(INSTALL_KDIR),modules_install)

install:
	@scripts/install

uninstall:
	@scripts/install uninstall

# Removes files by name, only in directories with sources, so that it needs no kernel.
clean:
	@find Kbuild rust src bench selftests/modules -depth \( -name '*.o' -o -name '*.ko' \
		-o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' -o -name '.*.d' \
		-o -name '*.a' -o -name '*.bc' -o -name '*.rmeta' -o -name '*.rlib' \
		-o -name '*.order' -o -name '*_generated.rs' -o -name Module.symvers \
		\) -type f -delete 2>/dev/null || true
	@rm -rf vtd.o vtd.ko vtd.mod vtd.mod.o vtd.mod.c .*.cmd .vtd.* .module-common.o \
		vtd_bench.* .vtd_bench.* .Module.symvers.* modules.order Module.symvers rust-project.json \
		.modules.order.* .tmp_versions target
	@find scripts selftests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The script runs 'make clean' after it has checked that it may remove everything.
distclean:
	@scripts/distclean

help:
	@echo 'Without a kernel of your own (set-up is done when needed; root or user):'
	@echo '  make                build vtd.ko against the test kernel, to out/module/'
	@echo '  make run            boot QEMU with the driver and show it in use; out/run/'
	@echo '                      KERNEL=debian: on a stock Debian kernel'
	@echo '                      MACHINE=server, MACHINE=client: with several remapping units'
	@echo '                      DRIVER=intree: the same with the kernel'"'"'s own driver'
	@echo '                      IOMMU=scalable-mode=on,fsts=on: options of QEMU'"'"'s intel-iommu;'
	@echo '                      scalable-mode=off gives a unit without scalable mode'
	@echo '  make guest          a shell in that machine; out/guest/ keeps what each one leaves'
	@echo '                      RUN="vtd doctor": this command in place of a shell'
	@echo '                      DRIVER=intree, DRIVER=none: not vtd; KERNEL=, IOMMU= as above'
	@echo '                      MACHINE=server, or a dump, or a folder with a DMAR table'
	@echo '                      DEVICE="edu,addr=10.0": a further QEMU device; GDB=1: gdb may attach'
	@echo '  make debian         build vtd.ko against the stock Debian kernel that runs here,'
	@echo '                      or else the newest of the series; out/module/'
	@echo '  make deb            the packages vtd-dkms and vtd-tools; out/deb/'
	@echo '  make debian-check   install, start, uninstall and start again in a Debian guest, by make'
	@echo '                      install and with the packages; T=packages: only these; minutes'
	@echo '  make check          every test, host and guest; out/check/'
	@echo '                      T=attack: only selftests/attack.sh; T=faultline: what pytest finds by that'
	@echo '  make host-check     the tests that boot nothing'
	@echo '  make guest-check    the tests in guests'
	@echo '  make check-units    the same on machines with several remapping units, MACHINE=server'
	@echo '                      and MACHINE=client; out/check-units/'
	@echo '  make check-scalable the same with a unit in scalable mode, STAGE=second and STAGE=first;'
	@echo '                      out/check-scalable/'
	@echo '  make check-debug    the tests in guests on a kernel that watches memory and locks;'
	@echo '                      out/check-debug/; STAGE=second, STAGE=first: in scalable mode'
	@echo '  make check-races    concurrent threads, on a kernel that looks for data races;'
	@echo '                      out/check-kcsan/; STAGE= as above'
	@echo '  make vfio-selftests the kernel tree'"'"'s own VFIO tests, on an igb; minutes'
	@echo '  make firmware       a guest for each DMAR table of the corpus that the kernel lets in'
	@echo '  make user-fuzz      hostile users of VFIO, FUZZ_SECONDS=600; FUZZ_SEED=N repeats a run'
	@echo '  make bench          measure against the in-tree driver; out/bench/'
	@echo '                      SECTION="instructions memory": only these; ROUNDS=5: of what is timed'
	@echo '  make bench-record   put its figures and plots into Documentation/benchmarks'
	@echo '  make bench-profile ROW="4K map"'
	@echo '                      the functions that the instructions of a row go to'
	@echo '  make coverage       which lines of vtd_core the host tests run'
	@echo '  make fuzz           fuzz vtd_core, FUZZ_SECONDS=600 for each target; keeps its corpus'
	@echo '  make lint           rustfmt, clippy, shellcheck, checkpatch; fmt-check, clippy alone'
	@echo '  make fmt            format the Rust sources'
	@echo '  make docs           the pages as HTML; out/docs/index.html'
	@echo '  make pictures       draw those in Documentation/pictures again, each from its .dot'
	@echo '  make kernel         make the test kernel and print where it is'
	@echo '  make shell          a shell in the build root'
	@echo '  make tool           build the program vtd, which answers questions about any machine'
	@echo '                      with VT-d, with or without the module; out/tool/vtd'
	@echo 'With a kernel of your own:'
	@echo '  make KDIR=BUILD     build vtd.ko here against the kernel built in BUILD'
	@echo '  make modules_install [KDIR=BUILD]'
	@echo '                      install it; default /lib/modules/$$(uname -r)/build'
	@echo '  make install-tool [PREFIX=DIR]'
	@echo '                      install what make tool has built; uninstall-tool removes it'
	@echo 'On a Debian machine with Linux 7.2 or newer, as root:'
	@echo '  make install [KDIR=BUILD] [BOOT_PARAMETERS=yes]'
	@echo '                      vtd from each start on, built again by DKMS at kernel updates'
	@echo '  make uninstall      take all of that back'
	@echo 'Cleaning:'
	@echo '  make clean          remove what was built in the checkout'
	@echo '  make distclean      also remove out/ and the cache folder'
	@echo 'Variables:'
	@echo '  SERIES=7.2          test kernel 7.2 in place of 7.3'
	@echo '  GUESTS=1            make check boots one guest at a time (default: 3 on two processors)'
	@echo '  QUICK=1             make check without what takes many minutes'
	@echo '  LONG=1              make check with many more rounds of what counts rounds'
	@echo '  VTD_CACHE=DIR       cache folder (default: $${XDG_CACHE_HOME:-~/.cache}/vtd)'
	@echo '  V=1                 with KDIR: the commands that Kbuild runs'
