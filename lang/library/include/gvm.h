/*
 * The guest library for C. A driver is compiled freestanding, with general registers only, linked with libgvm.a by gvm.ld and
 * run with `gvm run driver.elf`; programs/c/Makefile shows how. Names, arguments and results are Linux's; errors are -errno.
 *
 * The program defines init_module, which the library calls once memory, console and the PCI bus are set up. What it returns is
 * the exit status: 0, or -errno.
 *
 *	#include <gvm.h>
 *
 *	GVM_OPTIONS("-device pci-bridge,id=br0,chassis_nr=1,addr=2");
 *
 *	int init_module(void)
 *	{
 *		printk("hello\n");
 *		return 0;
 *	}
 */
#ifndef GVM_H
#define GVM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64; /* as in Linux: %llx */
typedef long long s64;
typedef u64 phys_addr_t;
typedef u64 dma_addr_t;
typedef u64 resource_size_t;
typedef unsigned int gfp_t;
typedef long ssize_t;

/*
 * The machine that the program runs on, told by the program itself as `; gvm:` and `; host:` lines tell it in a .gasm source:
 * options of the command line, and shell lines for the modeled host, in order. They go into the section .gvm, which is not loaded.
 */
#define GVM_LINE(text) __asm__(".pushsection .gvm, \"\", @progbits\n\t.ascii \"" text "\\n\"\n\t.popsection")
#define GVM_OPTIONS(options) GVM_LINE("; gvm: " options)
#define GVM_HOST(command) GVM_LINE("; host: " command)

/* The program's own. */
int init_module(void);

/* Errors, returned negative. */
enum {
	EPERM = 1, ENOENT = 2, EIO = 5, ENXIO = 6, EAGAIN = 11, ENOMEM = 12, EFAULT = 14, EBUSY = 16, EEXIST = 17,
	ENODEV = 19, EINVAL = 22, ENOSPC = 28, EPROBE_DEFER = 517,
};

/*
 * Messages go to the serial console. Formats are printk's: %d %u %x %lx %llx %s %c %p, %px for an address as it is.
 * printk returns the number of characters; panic does not return.
 */
int printk(const char *format, ...) __attribute__((format(printf, 1, 2)));
int vprintk(const char *format, va_list arguments);
int snprintf(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buffer, size_t size, const char *format, va_list arguments);
int sprintf(char *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void panic(const char *format, ...) __attribute__((noreturn));
/* Ends the machine with `status` through the isa-debug-exit device. */
void machine_exit(u32 status) __attribute__((noreturn));

/* Strings and blocks. */
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
char *strcpy(char *to, const char *from);
char *strncpy(char *to, const char *from, size_t size);
/* The length copied, or -E2BIG (-7) if the text was cut. */
ssize_t strscpy(char *to, const char *from, size_t size);
char *strcat(char *to, const char *from);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);
char *strchr(const char *text, int letter);
char *strrchr(const char *text, int letter);
char *strstr(const char *text, const char *part);
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *at, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *at, int value, size_t size);

/* Memory in the direct map; NULL if there is none left. */
#define GFP_KERNEL 0xcc0u
#define GFP_ATOMIC 0xa20u
#define PAGE_SIZE 4096ul
void *kmalloc(size_t size, gfp_t flags);
void *kzalloc(size_t size, gfp_t flags);
void kfree(const void *object);
size_t ksize(const void *object);
unsigned long __get_free_pages(gfp_t flags, unsigned int order);
unsigned long get_zeroed_page(gfp_t flags);
void free_pages(unsigned long address, unsigned int order);
void free_page(unsigned long address);
/* A device understands physical addresses only. */
phys_addr_t virt_to_phys(const volatile void *address);
void *phys_to_virt(phys_addr_t address);
struct device;
void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *handle, gfp_t flags);
void dma_free_coherent(struct device *dev, size_t size, void *address, dma_addr_t handle);

/* Ports. */
u8 inb(u16 port);
u16 inw(u16 port);
u32 inl(u16 port);
void outb(u8 value, u16 port);
void outw(u16 value, u16 port);
void outl(u32 value, u16 port);

/* A cookie for `count` ports, as pci_iomap gives it for a BAR of ports. */
void *ioport_map(unsigned long port, unsigned int count);

/* Device memory: at addresses of ioremap, and at cookies of pci_iomap, which may also stand for ports. */
void *ioremap(phys_addr_t address, size_t size);
void iounmap(void *address);
u8 readb(const volatile void *address);
u16 readw(const volatile void *address);
u32 readl(const volatile void *address);
u64 readq(const volatile void *address);
void writeb(u8 value, volatile void *address);
void writew(u16 value, volatile void *address);
void writel(u32 value, volatile void *address);
void writeq(u64 value, volatile void *address);
u8 ioread8(const volatile void *cookie);
u16 ioread16(const volatile void *cookie);
u32 ioread32(const volatile void *cookie);
void iowrite8(u8 value, volatile void *cookie);
void iowrite16(u16 value, volatile void *cookie);
void iowrite32(u32 value, volatile void *cookie);

/*
 * Interrupts. A handler runs with interrupts off, and says whether the interrupt was its device's. request_irq is 0, -EBUSY, -EINVAL or
 * -ENOMEM; the number is what pci_irq_vector gives.
 */
typedef enum irqreturn { IRQ_NONE = 0, IRQ_HANDLED = 1 } irqreturn_t;
typedef irqreturn_t (*irq_handler_t)(int irq, void *dev);
/* Others may have the same interrupt: all are called. */
#define IRQF_SHARED 0x80ul
int request_irq(unsigned int irq, irq_handler_t handler, unsigned long flags, const char *name, void *dev);
void free_irq(unsigned int irq, void *dev);
/* To wait without losing one: interrupts off, look; safe_halt turns them on and sleeps in one. */
static inline void local_irq_disable(void) { __asm__ volatile("cli" ::: "memory"); }
static inline void local_irq_enable(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void safe_halt(void) { __asm__ volatile("sti\n\thlt" ::: "memory"); }

/* Time that passes in the guest; interrupts are not needed. */
void ndelay(unsigned long nanoseconds);
void udelay(unsigned long microseconds);
void mdelay(unsigned long milliseconds);
void msleep(unsigned int milliseconds);

/*
 * PCI. A driver fills in a struct pci_driver and registers it; probe is called for every device that the table matches.
 * struct pci_dev is reached by the functions below.
 */
struct pci_dev;
#define PCI_ANY_ID 0xffffffffu

struct pci_device_id {
	u32 vendor, device, subvendor, subdevice, class, class_mask;
	u64 driver_data;
};
#define PCI_DEVICE(v, d) .vendor = (v), .device = (d), .subvendor = PCI_ANY_ID, .subdevice = PCI_ANY_ID

struct pci_driver {
	void *node[2]; /* the library's */
	const char *name;
	const struct pci_device_id *id_table; /* ends with an entry of zeros */
	int (*probe)(struct pci_dev *dev, const struct pci_device_id *id);
	void (*remove)(struct pci_dev *dev); /* may be NULL */
};

int pci_register_driver(struct pci_driver *driver);
void pci_unregister_driver(struct pci_driver *driver);
void pci_set_drvdata(struct pci_dev *dev, void *data);
void *pci_get_drvdata(struct pci_dev *dev);
const char *pci_name(const struct pci_dev *dev);
int pci_enable_device(struct pci_dev *dev);
void pci_disable_device(struct pci_dev *dev);
void pci_set_master(struct pci_dev *dev);
void pci_clear_master(struct pci_dev *dev);
int pci_request_region(struct pci_dev *dev, int bar, const char *name);
void pci_release_region(struct pci_dev *dev, int bar);
int pci_request_regions(struct pci_dev *dev, const char *name);
void pci_release_regions(struct pci_dev *dev);
resource_size_t pci_resource_start(struct pci_dev *dev, int bar);
resource_size_t pci_resource_end(struct pci_dev *dev, int bar); /* inclusive */
resource_size_t pci_resource_len(struct pci_dev *dev, int bar);
#define IORESOURCE_IO 0x100ul
#define IORESOURCE_MEM 0x200ul
unsigned long pci_resource_flags(struct pci_dev *dev, int bar);
void *pci_iomap(struct pci_dev *dev, int bar, unsigned long limit); /* limit 0: all of it */
void pci_iounmap(struct pci_dev *dev, void *cookie);
int pci_read_config_byte(struct pci_dev *dev, int where, u8 *value);
int pci_read_config_word(struct pci_dev *dev, int where, u16 *value);
int pci_read_config_dword(struct pci_dev *dev, int where, u32 *value);
int pci_write_config_byte(struct pci_dev *dev, int where, u8 value);
int pci_write_config_word(struct pci_dev *dev, int where, u16 value);
int pci_write_config_dword(struct pci_dev *dev, int where, u32 value);
/* Where the capability is in configuration space; 0 if there is none. */
u8 pci_find_capability(struct pci_dev *dev, int capability);
/*
 * The function's interrupts: MSI-X, MSI (one vector) or the pin, the first of them that is allowed and has enough. How many, min to max,
 * or -EINVAL, -ENOSPC. Without it pci_irq_vector(dev, 0) is the pin's.
 */
#define PCI_IRQ_LEGACY 1u
#define PCI_IRQ_MSI 2u
#define PCI_IRQ_MSIX 4u
#define PCI_IRQ_ALL_TYPES 7u
int pci_alloc_irq_vectors(struct pci_dev *dev, unsigned int min, unsigned int max, unsigned int flags);
int pci_irq_vector(struct pci_dev *dev, unsigned int number);
void pci_free_irq_vectors(struct pci_dev *dev);
/*
 * A guest's own tests, in the lines of kvm-unit-tests: init_module returns report_summary(), and `gvm test` needs no golden.
 */
void report(bool pass, const char *format, ...) __attribute__((format(printf, 2, 3)));
void report_xfail(bool expected_to_fail, bool pass, const char *format, ...) __attribute__((format(printf, 3, 4)));
void report_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_prefix_push(const char *prefix);
void report_prefix_pop(void);
int report_summary(void);

/* printk with the device's driver and name in front. */
int pci_info(struct pci_dev *dev, const char *format, ...) __attribute__((format(printf, 2, 3)));
int pci_warn(struct pci_dev *dev, const char *format, ...) __attribute__((format(printf, 2, 3)));
int pci_err(struct pci_dev *dev, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
