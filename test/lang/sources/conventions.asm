; Calling-convention macros in the style of multimedia libraries: registers by number, prologues, counters that macros keep.
%define private_prefix gvmx
%ifidn __?OUTPUT_FORMAT?__, elf64
 %define FORMAT_ELF 1
%else
 %define FORMAT_ELF 0
%endif
%xdefine public_prefix private_prefix
BITS 64
default rel
%macro DECLARE_REG 2-3
    %define r%1q %2
    %define r%1d %2d
    %define r%1w %2w
    %define r%1b %2b
    %define r%1h %2h
    %define %2q %2
    %if %0 == 2
        %define r%1m  %2d
        %define r%1mp %2
    %else
        %define r%1m [rstk + stack_offset + %3]
        %define r%1mp qword r %+ %1 %+ m
    %endif
    %define r%1  %2
%endmacro
%macro DECLARE_REG_SIZE 2
    %define r%1q r%1
    %define e%1q r%1
    %define r%1d e%1
    %define e%1d e%1
    %define r%1w %1
    %define e%1w %1
    %define r%1b %2
    %define e%1b %2
%endmacro
DECLARE_REG_SIZE ax, al
DECLARE_REG_SIZE bx, bl
DECLARE_REG_SIZE cx, cl
DECLARE_REG_SIZE dx, dl
DECLARE_REG_SIZE si, sil
DECLARE_REG_SIZE di, dil
DECLARE_REG_SIZE bp, bpl
%macro DECLARE_REG_TMP 1-*
    %assign %%i 0
    %rep %0
        CAT_XDEFINE t, %%i, r%1
        %assign %%i %%i+1
        %rotate 1
    %endrep
%endmacro
%macro CAT_XDEFINE 3
    %xdefine %1%2 %3
%endmacro
%macro CAT_UNDEF 2
    %undef %1%2
%endmacro
%define rstk rsp
%assign stack_offset 0
%macro PUSH 1
    push %1
    %ifidn rstk, rsp
        %assign stack_offset stack_offset+8
    %endif
%endmacro
%macro POP 1
    pop %1
    %ifidn rstk, rsp
        %assign stack_offset stack_offset-8
    %endif
%endmacro
%macro PUSH_IF_USED 1-*
    %rep %0
        %if %1 < regs_used
            PUSH r%1
        %endif
        %rotate 1
    %endrep
%endmacro
%macro POP_IF_USED 1-*
    %rep %0
        %if %1 < regs_used
            pop r%1
        %endif
        %rotate 1
    %endrep
%endmacro
%macro SUB 2
    sub %1, %2
    %ifidn %1, rstk
        %assign stack_offset stack_offset+(%2)
    %endif
%endmacro
%macro ASSERT 1
    %if (%1) == 0
        %error assertion ``%1'' failed
    %endif
%endmacro
%macro DEFINE_ARGS 0-*
    %ifdef n_arg_names
        %assign %%i 0
        %rep n_arg_names
            CAT_UNDEF arg_name %+ %%i, q
            CAT_UNDEF arg_name %+ %%i, d
            CAT_UNDEF arg_name %+ %%i, w
            CAT_UNDEF arg_name, %%i
            %assign %%i %%i+1
        %endrep
    %endif
    %xdefine %%stack_offset stack_offset
    %undef stack_offset
    %assign %%i 0
    %rep %0
        %xdefine %1q r %+ %%i %+ q
        %xdefine %1d r %+ %%i %+ d
        %xdefine %1w r %+ %%i %+ w
        CAT_XDEFINE arg_name, %%i, %1
        %assign %%i %%i+1
        %rotate 1
    %endrep
    %xdefine stack_offset %%stack_offset
    %assign n_arg_names %0
%endmacro
DECLARE_REG 0,  rdi
DECLARE_REG 1,  rsi
DECLARE_REG 2,  rdx
DECLARE_REG 3,  rcx
DECLARE_REG 4,  R8
DECLARE_REG 5,  R9
DECLARE_REG 6,  rax, 8
DECLARE_REG 7,  R10, 16
DECLARE_REG 8,  R11, 24
DECLARE_REG 9,  rbx, 32
DECLARE_REG 10, rbp, 40
DECLARE_REG 11, R12, 48
DECLARE_REG 12, R13, 56
%define rdid edi
%define rsid esi
%define rdxd edx
%define rcxd ecx
%define raxd eax
%define rbxd ebx
%define rbpd ebp
%define r8q R8
%macro PROLOGUE 2-4+
    %assign num_args %1
    %assign regs_used %2
    ASSERT regs_used >= num_args
    ASSERT regs_used <= 13
    PUSH_IF_USED 9, 10, 11, 12
    %if %0 > 2
      %ifnum %3
        DEFINE_ARGS %4
      %else
        DEFINE_ARGS %3
      %endif
    %endif
%endmacro
%macro RET 0
    POP_IF_USED 12, 11, 10, 9
    ret
%endmacro
%macro cglobal 1-2+
    cglobal_internal 1, %1, %2
%endmacro
%macro cglobal_internal 2-3+
    %ifndef cglobaled_%2
        %xdefine %2 mangle(private_prefix %+ _ %+ %2)
        CAT_XDEFINE cglobaled_, %2, 1
    %endif
    %xdefine current_function %2
    %if FORMAT_ELF
        global %2:function hidden
    %else
        global %2
    %endif
    align 16
    %2:
    %xdefine %%this %2
    %assign stack_offset 0
    %if %0 > 2
        PROLOGUE %3
    %endif
%endmacro
%define mangle(x) x
SECTION .text
cglobal memsum, 2,11,0, buf, len
    xor eax, eax
    test lenq, lenq
    jz .end
    lea bufq, [bufq+lenq]
    neg lenq
.loop:
    movzx ebx, byte [bufq+lenq]
    add rax, rbx
    inc lenq
    jl .loop
.end:
    RET
cglobal copy, 3,3,0, dst, src, n
    mov ecx, nd
    rep movsb
    lea rax, [dstq]
    RET
cglobal args, 6,13
    mov eax, r0d
    add eax, r1d
    xor r2d, r2d
    imul eax, r3d, 5
    RET
DECLARE_REG_TMP 0,1,2,3
cglobal tmps
    mov t0, t1
    lea t2, [t3*2+t0]
    RET
SECTION .rodata align=64
table: times 4 dd 0x01020304
 %assign i 0
 %rep 16
  dw i*i
  %assign i i+3
 %endrep
