/*
 * programs/edu/msi.gasm's subject in C: QEMU's edu computes a factorial while the guest sleeps, and a message wakes it. The wait loop looks
 * with interrupts off, and safe_halt turns them on and sleeps in one step: the message cannot come between.
 *
 * Expect: one vector, 10! = 3628800 by one interrupt, and after pci_free_irq_vectors the pin's number again.
 */
#include <gvm.h>

GVM_OPTIONS("-device edu,addr=4");

enum { FACTORIAL = 0x08, STATUS = 0x20, INTERRUPT_WHEN_COMPUTED = 0x80, RAISED = 0x24, ACKNOWLEDGE = 0x64 };

struct edu {
	u8 *registers;
	volatile u32 interrupts;
};

static irqreturn_t computed(int irq, void *data)
{
	struct edu *edu = data;
	u32 raised = readl(edu->registers + RAISED);
	if (!raised)
		return IRQ_NONE;
	writel(raised, edu->registers + ACKNOWLEDGE);
	edu->interrupts++;
	printk("interrupt %d: status %#x\n", irq, raised);
	return IRQ_HANDLED;
}

static int probe(struct pci_dev *dev, const struct pci_device_id *id)
{
	static struct edu edu;
	(void)id;
	int error = pci_enable_device(dev);
	if (error)
		return error;
	pci_set_master(dev);
	edu.registers = pci_iomap(dev, 0, 0);
	if (!edu.registers)
		return -ENOMEM;

	int vectors = pci_alloc_irq_vectors(dev, 1, 4, PCI_IRQ_ALL_TYPES);
	if (vectors < 0)
		return vectors;
	int irq = pci_irq_vector(dev, 0);
	pci_info(dev, "%d vector, interrupt %d\n", vectors, irq);
	error = request_irq(irq, computed, 0, "edu", &edu);
	if (error)
		return error;

	writel(INTERRUPT_WHEN_COMPUTED, edu.registers + STATUS);
	writel(10, edu.registers + FACTORIAL);
	for (;;) {
		local_irq_disable();
		if (edu.interrupts)
			break;
		safe_halt();
	}
	local_irq_enable();
	pci_info(dev, "10! = %u after %u interrupt\n", readl(edu.registers + FACTORIAL), edu.interrupts);

	free_irq(irq, &edu);
	pci_free_irq_vectors(dev);
	pci_info(dev, "and now interrupt %d\n", pci_irq_vector(dev, 0));
	return 0;
}

static const struct pci_device_id ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, { 0 } };
static struct pci_driver driver = { .name = "edu", .id_table = ids, .probe = probe };

int init_module(void)
{
	return pci_register_driver(&driver);
}
