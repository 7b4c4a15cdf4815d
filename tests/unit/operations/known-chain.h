/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "known-disks.h"

/* A chain in a folder, golden.img <- disk.1 <- disk.2 (also "disk"), and what may be known of it.
 * @folder is NULL where there is no qemu-img. */
typedef struct
{
  char *folder;
  char *published;
  char *base;
  char *one;
  char *two;
} Chain;

void       known_chain_set_up    (Chain *chain, gconstpointer data);
void       known_chain_tear_down (Chain *chain, gconstpointer data);
/* What a header says, whether it is so or not. @format: (nullable) */
void       known_chain_rebase    (const char *image, const char *format, const char *backing);
/* Also called "alias"; without layers. */
KnownDisk *known_chain_disk      (const char *name, const char *published, const char *path,
                                  const char *format);
void       known_chain_add       (KnownDisk *known, const char *path, const char *format);
