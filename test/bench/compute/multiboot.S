/* How both images begin: the header by which multiboot finds them, and the words that say what to run. */
	.text
	.globl start
start:	jmp boot
	.balign 4
header:	.long 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
	.long header, start, image_end, bss_end, boot
	.org 0x40
parameters:
	.long 0, 0
