/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Chains of layers made and judged by QEMU's own tools. */

#include "support.h"

/* The tools of one QEMU: "installed" (or what QSD and QEMU_IMG name) and, with QSNAP_QEMU10 set to
 * the root of an unpacked package, "unpacked". */
typedef struct
{
  const char *name;
  char       *daemon;           /* (nullable): of either none, when it is not installed */
  char       *img;
  char       *io;
  char       *root;             /* (nullable) */
} FlatPrograms;

typedef struct
{
  const FlatPrograms *programs;
  char               *folder;
  char               *daemon;   /* a program that needs nothing else */
  GPtrArray          *layers;   /* of ImageLayer */
} FlatFixture;

/* Adds @test once for every QEMU. */
void         flat_add_test      (const char *name, void (*test) (FlatFixture *fixture,
                                                                 gconstpointer data));

/* Runs @commands in the folder, one up to each ';', and all succeed. A first word may be img or
 * io. */
void         flat_run           (FlatFixture *fixture, const char *commands);
/* Forgets the layers, and takes the files in @names ("top:qcow2 base:raw") as they are now. */
void         flat_set_layers    (FlatFixture *fixture, const char *names);
char        *flat_path          (FlatFixture *fixture, const char *name);

ImageSource *flat_open          (FlatFixture *fixture, const char *format, GError **error);
/* The same with the layers at hand. */
ImageSource *flat_open_full     (FlatFixture *fixture, const char *format, const char *program,
                                 const char *folder, GCancellable *cancellable, GError **error);
void         flat_close         (ImageSource *source);
/* Reads on, in pieces of at most @piece bytes, into @name. FALSE: see @error. */
gboolean     flat_save          (FlatFixture *fixture, ImageSource *source, const char *name,
                                 gsize piece, GError **error);

/* The file @name is what the topmost layer shows, @size bytes of it. */
void         flat_assert_same   (FlatFixture *fixture, const char *name, const char *format,
                                 guint64 size);
/* Opens, saves as "image.qcow2" or "image.raw", closes; it is the same, and nothing is left. */
void         flat_assert_image  (FlatFixture *fixture, const char *format, guint64 size);
