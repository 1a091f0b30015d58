# Installation: headers, archive, shared object, pkg-config file.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig

PUBLIC_HEADERS := $(wildcard include/ggmk/*.h include/gmk/*.h)
INSTALLED := $(addprefix $(INCLUDEDIR)/,$(PUBLIC_HEADERS:include/%=%)) \
	$(addprefix $(LIBDIR)/libgmk_cpu,.a .so .so.$(SOVERSION) .so.$(VERSION)) \
	$(PKGCONFIGDIR)/libgmk_cpu.pc

install: lib ## install under PREFIX=/usr/local, staged below DESTDIR=
	@install -d $(addprefix $(DESTDIR)$(INCLUDEDIR)/,ggmk gmk) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PKGCONFIGDIR)
	@for h in $(PUBLIC_HEADERS:include/%=%); do \
		install -m 644 include/$$h $(DESTDIR)$(INCLUDEDIR)/$$h || exit 1; done
	@install -m 644 $(LIB_DIR)/libgmk_cpu.a $(DESTDIR)$(LIBDIR)/
	@install -m 755 $(LIB_DIR)/libgmk_cpu.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libgmk_cpu.so.$(VERSION)
	@ln -sf libgmk_cpu.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libgmk_cpu.so.$(SOVERSION)
	@ln -sf libgmk_cpu.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libgmk_cpu.so
	@sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@LIBDIR@,$(LIBDIR),' -e 's,@INCLUDEDIR@,$(INCLUDEDIR),' \
		-e 's,@VERSION@,$(VERSION),' mk/libgmk_cpu.pc.in > $(DESTDIR)$(PKGCONFIGDIR)/libgmk_cpu.pc

uninstall: ## remove what install put there
	@rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	@rmdir $(addprefix $(DESTDIR)$(INCLUDEDIR)/,ggmk gmk) 2>/dev/null || true

.PHONY: install uninstall
