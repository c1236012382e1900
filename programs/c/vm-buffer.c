/*
 * programs/vm-buffer/vm-buffer.gasm in C: a guest hands the host a buffer. The driver writes "vm_buffer_test" into a buffer and
 * the buffer's guest physical address into the device's two registers, low half first; the second write makes the host's driver
 * read the guest's memory and log what it found.
 */
#include <gvm.h>

GVM_HOST("modprobe vmbuf class=0xff bars=1 bar_size=0x1000");
GVM_HOST("echo 83b8f4f2-509f-382f-3c1e-e6bfe0fa1003 > /sys/class/mdev_bus/vmbuf/mdev_supported_types/vmbuf-1/create");
GVM_OPTIONS("-device pci-bridge,id=br0,chassis_nr=1,addr=2");
GVM_OPTIONS("-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1003,bus=br0,addr=1");

enum { BUFFER_LOW = 0, BUFFER_HIGH = 4, BUFFER_SIZE = 64 };

static int probe(struct pci_dev *dev, const struct pci_device_id *id)
{
	int error = pci_enable_device(dev);
	if (error)
		return error;
	error = pci_request_regions(dev, "vmbuf_guest");
	if (error)
		return error;

	u16 port = pci_resource_start(dev, 0);
	char *buffer = kzalloc(BUFFER_SIZE, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	strcpy(buffer, "vm_buffer_test");

	u64 address = virt_to_phys(buffer);
	pci_info(dev, "device %04x:%04x, buffer at %px, physical address %#llx\n", id->vendor, id->device, buffer, address);
	outl((u32)address, port + BUFFER_LOW);
	outl((u32)(address >> 32), port + BUFFER_HIGH);
	return 0;
}

static const struct pci_device_id ids[] = { { PCI_DEVICE(0x4348, 0x3253) }, { 0 } };
static struct pci_driver driver = { .name = "vmbuf_guest", .id_table = ids, .probe = probe };

int init_module(void)
{
	return pci_register_driver(&driver);
}
