/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Images made and judged by QEMU's own tools. Where these are not installed a test is skipped, with
 * the reason, before it calls any of the others. */

#include <glib.h>

G_BEGIN_DECLS

/* TRUE when they are there; else the test is marked as skipped. */
gboolean  images_available (void);

/* Runs a tool with the arguments up to NULL; it must succeed. (transfer full): its output */
char     *images_run       (const char *program, ...) G_GNUC_NULL_TERMINATED;
#define   images_do(...)   g_free (images_run (__VA_ARGS__))

/* Creates "FOLDER/NAME", over "FOLDER/BACKING" unless that is NULL. (transfer full): its path */
char     *images_create    (const char *folder, const char *name, const char *size,
                            const char *backing, const char *backing_format);
/* Commands of qemu-io, one for each argument. */
void      images_write     (const char *path, const char *format, ...) G_GNUC_NULL_TERMINATED;
/* Whether both show the same; what one has more of must be zeros. */
gboolean  images_equal     (const char *path, const char *format, const char *other,
                            const char *other_format);
/* It is clean, leaks included. */
void      images_check     (const char *path);

G_END_DECLS
