/** Width of an operand, register or address, in bits. */
export type Width = 8 | 16 | 32 | 64;
