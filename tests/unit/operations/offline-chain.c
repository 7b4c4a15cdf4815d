/* SPDX-License-Identifier: Apache-2.0 */

#include "offline-chain.h"

#include "../disk/images.h"
#include "../disk/scratch.h"
#include "operation-private.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define PUBLISHED "disk"
#define REFERENCE "reference"

/* --- a chain --- */

const Variant variants[N_VARIANTS] = {
  { MOVE_COMMIT, FALSE, FALSE, "commit" },
  { MOVE_COMMIT, TRUE, TRUE, "commit-raw-grown" },
  { MOVE_STREAM, FALSE, FALSE, "stream" },
  { MOVE_STREAM, TRUE, TRUE, "stream-raw-grown" },
};

char *
chain_layer_path (const Chain *chain, guint index)
{
  g_autofree char *name = g_strdup_printf (PUBLISHED ".%u", index);

  return g_build_filename (chain->folder, name, NULL);
}

const char *
chain_layer_format (const Chain *chain, guint index)
{
  return index == 0 && chain->raw_base ? "raw" : "qcow2";
}

void
chain_publish (const Chain *chain, guint index)
{
  g_autofree char *layer = chain_layer_path (chain, index);

  g_unlink (chain->published);
  g_assert_no_errno (link (layer, chain->published));
}

/* Each layer writes at a place of its own, over one of the layer below, and zeros over another. */
static void
write_layer (const Chain *chain, guint index, gboolean grown)
{
  guint end_at = !grown || index < 2 ? 9000 : index < 4 ? 12000 : 15000;
  g_autofree char *end = g_strdup_printf ("write -P %u %uk 100k", 0x30 + index, end_at);
  g_autofree char *path = chain_layer_path (chain, index);
  g_autofree char *own = g_strdup_printf ("write -P %u %uM 1M", 0x10 + index, 2 * index);
  g_autofree char *over = g_strdup_printf ("write -P %u %uk 96k", 0x20 + index, 64 + 32 * index);
  g_autofree char *zeros = g_strdup_printf ("write -z %uk 128k",
                                            500 + 2048 * (index > 0 ? index - 1 : 4));

  images_write (path, chain_layer_format (chain, index), own, over, zeros, end, NULL);
}

static Chain *
chain_empty (gboolean raw_base)
{
  Chain *chain = g_new0 (Chain, 1);

  chain->folder = scratch_new ();
  chain->published = g_build_filename (chain->folder, PUBLISHED, NULL);
  chain->reference = g_build_filename (chain->folder, REFERENCE, NULL);
  chain->raw_base = raw_base;
  return chain;
}

/* base <- 1 <- 2 <- 3 <- 4; @grown: the upper ones are larger. */
Chain *
chain_new (gboolean raw_base, gboolean grown)
{
  Chain *chain = chain_empty (raw_base);

  for (guint i = 0; i < N_LAYERS; i++)
    {
      g_autofree char *name = g_strdup_printf (PUBLISHED ".%u", i);
      g_autofree char *below = i > 0 ? g_strdup_printf (PUBLISHED ".%u", i - 1) : NULL;
      g_autofree char *path = chain_layer_path (chain, i);
      const char *size = grown ? (i < 2 ? "10M" : i < 4 ? "13M" : "16M") : "16M";

      if (i == 0 && raw_base)
        images_do ("qemu-img", "create", "-q", "-f", "raw", path, size, NULL);
      else
        g_free (images_create (chain->folder, name, size, below,
                               i > 0 ? chain_layer_format (chain, i - 1) : NULL));
      write_layer (chain, i, grown);
    }
  chain_publish (chain, N_LAYERS - 1);
  images_do ("qemu-img", "convert", "-f", "qcow2", "-O", "raw", chain->published, chain->reference,
             NULL);
  return chain;
}

/* The same once more: quicker than to make it anew. */
Chain *
chain_copy (const Chain *other)
{
  Chain *chain = chain_empty (other->raw_base);

  for (guint i = 0; i < N_LAYERS; i++)
    {
      g_autofree char *from = chain_layer_path (other, i);

      images_do ("cp", "--sparse=always", from, chain->folder, NULL);
    }
  images_do ("cp", "--sparse=always", other->reference, chain->folder, NULL);
  chain_publish (chain, N_LAYERS - 1);
  return chain;
}

void
chain_free (Chain *chain)
{
  scratch_remove (chain->folder);
  g_free (chain->published);
  g_free (chain->reference);
  g_free (chain);
}

static ChainFile *
file_of (const Chain *chain, guint index)
{
  ChainFile *file = g_new0 (ChainFile, 1);
  FileFacts facts;

  file->path = chain_layer_path (chain, index);
  file->format = g_strdup (chain_layer_format (chain, index));
  facts = scratch_look (file->path);
  g_assert_cmpuint (facts.ino, !=, 0);
  file->dev = (gint64) facts.dev;
  file->ino = (gint64) facts.ino;
  return file;
}

/* Of the layers @first to @last of a chain as chain_new() has made it. */
ChainMove *
chain_move_of (const Chain *chain, MoveKind kind, guint first, guint last)
{
  ChainMove *move = g_new0 (ChainMove, 1);

  move->kind = kind;
  move->disk = g_strdup ("vda");
  move->published = g_strdup (chain->published);
  move->offline = TRUE;
  move->estimate = 1 << 20;
  move->files = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  for (guint i = first; i <= last; i++)
    g_ptr_array_add (move->files, file_of (chain, i));
  if (first > 0)
    move->below = file_of (chain, first - 1);
  if (last + 1 < N_LAYERS)
    move->above = file_of (chain, last + 1);
  return move;
}

/* --- doing it --- */

typedef struct
{
  GMainLoop *loop;
  gboolean   ok;
  GError    *error;
} Wait;

static void
on_moved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Wait *wait = user_data;

  wait->ok = chain_move_offline_finish (result, &wait->error);
  g_main_loop_quit (wait->loop);
}

gboolean
chain_do_move (ChainMove *move, GCancellable *cancellable, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (Operation) operation = operation_new ("op", "commit", "guest");
  Wait wait = { loop, FALSE, NULL };

  chain_move_offline_async (move, operation, cancellable, on_moved, &wait);
  g_main_loop_run (loop);
  if (wait.error != NULL)
    g_propagate_error (error, wait.error);
  return wait.ok;
}

void
chain_assert_shows (const Chain *chain)
{
  FileFacts published = scratch_look (chain->published);
  g_autofree char *base = chain_layer_path (chain, 0);
  gboolean is_base = scratch_look (base).ino == published.ino;

  g_assert_cmpuint (published.ino, !=, 0);
  g_assert_true (images_equal (chain->published, chain_layer_format (chain, is_base ? 0 : 1),
                               chain->reference, "raw"));
}

/* The layers that a start from the published name needs, top first, by their numbers. */
char *
chain_dup_text (const Chain *chain)
{
  g_autofree char *path = g_strdup (chain->published);
  g_autoptr (GString) text = g_string_new (NULL);
  const char *format = NULL;

  for (guint n = 0; path != NULL && n <= N_LAYERS; n++)
    {
      FileFacts facts = scratch_look (path);
      g_autoptr (ImageLink) link = NULL;
      g_autoptr (GError) error = NULL;

      for (guint i = 0; i < N_LAYERS; i++)
        {
          g_autofree char *layer = chain_layer_path (chain, i);

          if (scratch_look (layer).ino != facts.ino)
            continue;
          g_string_append_printf (text, "%u", i);
          format = chain_layer_format (chain, i);
        }
      link = image_link_read (path, format, &error);
      g_assert_no_error (error);
      g_free (path);
      path = g_strdup (link->backing);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* What chain_text() has to be after a move. */
static char *
expected_text (MoveKind kind, guint first, guint last)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = N_LAYERS; i-- > 0;)
    if (i < first || i > last || i == (kind == MOVE_COMMIT ? first : last))
      g_string_append_printf (text, "%u", i);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

void
chain_assert_done (const Chain *chain, const ChainMove *move, guint first, guint last)
{
  g_autofree char *text = chain_dup_text (chain);
  g_autofree char *expected = expected_text (move->kind, first, last);

  g_assert_cmpstr (text, ==, expected);
  chain_assert_shows (chain);
}

/* What has left the chain is needed by nobody: as if it had been removed. */
void
chain_assert_alone (const Chain *chain, const ChainMove *move)
{
  const ChainFile *into = chain_move_into (move);

  for (guint i = 0; i < move->files->len; i++)
    {
      const ChainFile *file = g_ptr_array_index (move->files, i);

      if (file != into)
        g_assert_no_errno (g_remove (file->path));
    }
  chain_assert_shows (chain);
  if (g_str_equal (into->format, "qcow2"))
    images_check (into->path);
}
