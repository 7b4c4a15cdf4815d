# SPDX-License-Identifier: Apache-2.0
#
# The writing guest: numbered records through the BIOS, one in flight, to every disk in turn.
#
#   record n = 1, 2, 3, ...   on disk n mod DISKS, at sector FIRST + (n / DISKS) mod SLOTS
#   sector of a record        "QREC", then n in each of the other 127 words: a torn one shows
#   frame on port 0xe9        0xa5, 'R' or 'E', n (32 bits), time stamp (64), xor of these, 0x5a
#
# 'R' is sent once the BIOS says that the write is done, 'E' when it says that it failed; then it is
# tried again for ever. After a reset, or on disks that were written to before, the guest goes on
# behind the largest number it finds. The assembler is given DISKS, SLOTS (a multiple of 64), FIRST
# and DELAY (microseconds after each record).

        .intel_syntax noprefix
        .code16
        .globl  _start

        .set    MAGIC, 0x43455251       # "QREC"
        .set    BIOS_DISKS, 0x475       # the number of hard disks, in the BIOS data area
        .set    SECTOR, 0x8000          # the sector being written
        .set    CHUNK_SEGMENT, 0x1000   # 64 sectors being read
        .set    CHUNK, 64

_start: xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        sti
        cld
        cmp     byte ptr [BIOS_DISKS], DISKS
        jae     find_last
no_disks:
        mov     al, 'E'                 # fewer disks than promised: 'E' 0 for ever
        call    report
        call    wait_a_second
        jmp     no_disks

find_last:
        mov     byte ptr [drive], 0x80
1:      mov     dword ptr [lba], FIRST
2:      mov     ah, 0x42
        mov     ecx, (CHUNK_SEGMENT << 16)
        mov     bx, CHUNK
        call    disk
        jnc     3f
        mov     al, 'E'
        call    report
        call    wait_a_second
        jmp     2b
3:      mov     ax, CHUNK_SEGMENT
        mov     es, ax
        xor     bx, bx
4:      cmp     dword ptr es:[bx], MAGIC
        jne     5f
        mov     eax, es:[bx + 4]
        cmp     eax, [number]
        jbe     5f
        mov     [number], eax
5:      add     bx, 512
        cmp     bx, CHUNK * 512
        jne     4b
        add     dword ptr [lba], CHUNK
        cmp     dword ptr [lba], FIRST + SLOTS
        jb      2b
        inc     byte ptr [drive]
        cmp     byte ptr [drive], 0x80 + DISKS
        jb      1b

next_record:
        inc     dword ptr [number]
        xor     ax, ax
        mov     es, ax
        mov     di, SECTOR
        mov     eax, MAGIC
        stosd
        mov     eax, [number]
        mov     cx, 127
        rep stosd
        xor     edx, edx
        mov     ecx, DISKS
        div     ecx
        add     dl, 0x80
        mov     [drive], dl
        xor     edx, edx
        mov     ecx, SLOTS
        div     ecx
        add     edx, FIRST
        mov     [lba], edx
1:      mov     ah, 0x43
        mov     ecx, SECTOR
        mov     bx, 1
        call    disk
        mov     al, 'R'
        jnc     2f
        mov     al, 'E'
        call    report
        call    wait_a_second
        jmp     1b
2:      call    report
        .if     DELAY
        mov     cx, DELAY >> 16
        mov     dx, DELAY & 0xffff
        call    wait
        .endif
        jmp     next_record

# Reads (AH = 0x42) or writes (0x43) BX sectors at [lba] of [drive]; ECX: buffer. Carry: it failed.
disk:   mov     [packet + 2], bx
        mov     [packet + 4], ecx
        mov     al, 0
        mov     dl, [drive]
        mov     si, offset packet
        int     0x13
        ret

# Sends the frame of kind AL about [number].
report: mov     [frame + 1], al
        mov     eax, [number]
        mov     [frame + 2], eax
        rdtsc
        mov     [frame + 6], eax
        mov     [frame + 10], edx
        mov     si, offset frame
        mov     cx, 14
        xor     ah, ah
1:      lodsb
        xor     ah, al
        loop    1b
        mov     [frame + 14], ah
        mov     si, offset frame
        mov     cx, 16
        mov     dx, 0xe9
        rep outsb
        ret

# Sleeps CX:DX microseconds with the processor halted.
wait_a_second:
        mov     cx, 15
        xor     dx, dx
wait:   mov     ah, 0x86
        int     0x15
        ret

        .balign 4
number: .long   0
packet: .word   16, 0
        .long   0
lba:    .long   0, 0
drive:  .byte   0
frame:  .byte   0xa5
        .fill   14
        .byte   0x5a

        .org    510
        .word   0xaa55
