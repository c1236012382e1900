/** Offsets and bits of configuration space that hardware here knows (PCI Local Bus 3.0, MSI ECN, Advanced Features ECN). */

export const VENDOR_ID = 0x00;
export const DEVICE_ID = 0x02;
export const COMMAND = 0x04;
export const COMMAND_IO = 1;
export const COMMAND_MEMORY = 2;
export const COMMAND_MASTER = 4;
export const COMMAND_INTX_DISABLE = 0x400;
export const STATUS = 0x06;
export const STATUS_INTERRUPT = 0x08;
export const STATUS_CAPABILITIES = 0x10;
export const STATUS_DEVSEL_MEDIUM = 0x200;
export const REVISION_ID = 0x08;
export const CACHE_LINE_SIZE = 0x0c;
export const LATENCY_TIMER = 0x0d;
export const BAR0 = 0x10;
export const SUBSYSTEM_VENDOR_ID = 0x2c;
export const SUBSYSTEM_ID = 0x2e;
export const CAPABILITY_LIST = 0x34;
export const INTERRUPT_LINE = 0x3c;
export const INTERRUPT_PIN = 0x3d;

export const CAP_MSI = 0x05;
export const MSI_ENABLE = 0x0001;
export const MSI_64BIT = 0x0080;
export const CAP_MSIX = 0x11;
export const MSIX_ENABLE = 0x8000;
export const MSIX_MASK_ALL = 0x4000;
/** Advanced Features: capabilities at 3 (transactions pending, function-level reset), control at 4. */
export const CAP_AF = 0x13;
export const AF_TRANSACTIONS = 1;
export const AF_RESET_CAPABLE = 2;
export const AF_CONTROL = 4;
export const AF_FUNCTION_RESET = 1;
