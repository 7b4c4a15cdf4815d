/* SPDX-License-Identifier: Apache-2.0 */

/* Moves without QEMU, on real images: every pair of layers, and what is refused. */

#include "../disk/images.h"
#include "../disk/scratch.h"
#include "offline-chain.h"

#include <core/error.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* --- every pair --- */

static void
test_pairs (gconstpointer data)
{
  const Variant *variant = data;
  g_autoptr (Chain) model = NULL;
  gint64 moved = 0;

  if (!images_available ())
    return;
  model = chain_new (variant->raw_base, variant->grown);
  chain_assert_shows (model);
  for (guint first = 0; first + 1 < N_LAYERS; first++)
    for (guint last = first + 1; last < N_LAYERS; last++)
      {
        g_autoptr (Chain) chain = chain_copy (model);
        g_autoptr (ChainMove) move = chain_move_of (chain, variant->kind, first, last);
        g_autoptr (GError) error = NULL;

        g_test_message ("%u to %u", first, last);
        g_assert_true (chain_do_move (move, NULL, &error));
        g_assert_no_error (error);
        chain_assert_done (chain, move, first, last);
        moved += move->moved;
        g_assert_true (move->begun);

        /* Again: it is done, also when the rest of it is gone. */
        move->moved = 0;
        g_assert_true (chain_do_move (move, NULL, &error));
        g_assert_no_error (error);
        chain_assert_alone (chain, move);
        g_assert_true (chain_do_move (move, NULL, &error));
        g_assert_no_error (error);
        g_assert_cmpint (move->moved, ==, 0);
      }
  /* What one tool wrote is not seen when it is gone before it is looked at. */
  g_assert_cmpint (moved, >, 0);
}

/* Of those of a top something is noted in it whenever it is opened to be committed. */
static void
test_bitmap (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autoptr (GError) error = NULL;
  gboolean in_use = TRUE;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  images_do ("qemu-img", "bitmap", "--add", chain->published, "b", NULL);
  move = chain_move_of (chain, MOVE_COMMIT, 0, 4);
  g_assert_true (chain_do_move (move, NULL, &error));
  g_assert_no_error (error);
  chain_assert_done (chain, move, 0, 4);
  g_assert_true (files_in_use (chain_move_upper (move)->path, &in_use, &error));
  g_assert_false (in_use);
  chain_assert_alone (chain, move);
}

/* The tool takes no part of a name for a word of its own. */
static void
test_odd_name (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (GError) error = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  for (guint last = 4; last > 0; last -= 2)
    {
      g_autoptr (ChainMove) move = chain_move_of (chain, MOVE_COMMIT, last - 1, last);
      ChainFile *upper = chain_move_upper (move);
      g_autofree char *path = g_strdup_printf ("%s/a:%u,,b=c,driver=raw, 'x'", chain->folder, last);

      g_assert_no_errno (link (upper->path, path));
      g_free (upper->path);
      upper->path = g_strdup (path);
      g_assert_true (chain_do_move (move, NULL, &error));
      g_assert_no_error (error);
      chain_assert_shows (chain);
    }
}

/* The header says what it is told to, and what it is told nothing of it says so that the folder can
 * be moved. */
static void
test_backing_name (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autoptr (ImageLink) link = NULL;
  g_autofree char *above = NULL;
  g_autofree char *output = NULL;
  g_autoptr (GError) error = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  move = chain_move_of (chain, MOVE_COMMIT, 1, 2);
  above = chain_layer_path (chain, 3);
  move->backing_name = g_strdup ("./disk.1");
  g_assert_true (chain_do_move (move, NULL, &error));
  output = images_run ("qemu-img", "info", "-f", "qcow2", above, NULL);
  g_assert_nonnull (strstr (output, "backing file: ./disk.1 "));
  g_assert_nonnull (strstr (output, "backing file format: qcow2"));
}

/* --- refused --- */

static void
assert_refused (const Chain *chain, ChainMove *move, const char *words)
{
  g_autofree char *before = chain_dup_text (chain);
  g_autofree char *after = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_false (chain_do_move (move, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, words));
  after = chain_dup_text (chain);
  g_assert_cmpstr (after, ==, before);
  chain_assert_shows (chain);
}

static void
test_changed (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) commit = NULL;
  g_autoptr (ChainMove) stream = NULL;
  g_autofree char *top = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  top = chain_layer_path (chain, 4);

  /* Merged by somebody else: 3 is in no chain any more. */
  commit = chain_move_of (chain, MOVE_COMMIT, 2, 3);
  stream = chain_move_of (chain, MOVE_STREAM, 3, 4);
  images_do ("qemu-img", "rebase", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "disk.1", top, NULL);
  assert_refused (chain, commit, "changed since");
  assert_refused (chain, stream, "changed since");
  g_assert_false (commit->begun);
}

static void
test_other_format (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autofree char *layer = NULL;
  g_autoptr (GError) error = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  layer = chain_layer_path (chain, 2);
  images_do ("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "disk.1", layer, NULL);
  move = chain_move_of (chain, MOVE_COMMIT, 1, 2);
  g_assert_false (chain_do_move (move, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "says that"));
}

/* A data file named by a header: whatever it is, it is not opened. */
static void
test_data_file (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autofree char *layer = NULL;
  g_autofree char *options = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  layer = chain_layer_path (chain, 3);
  options = g_strdup_printf ("data_file=%s/data,backing_file=disk.2,backing_fmt=qcow2",
                             chain->folder);
  images_do ("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, layer, "16M", NULL);
  images_do ("qemu-img", "convert", "-f", "qcow2", "-O", "raw", chain->published, chain->reference,
             NULL);
  move = chain_move_of (chain, MOVE_COMMIT, 2, 3);
  assert_refused (chain, move, "data in another file");
}

static void
test_larger_base (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autofree char *base = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  base = chain_layer_path (chain, 0);
  images_do ("qemu-img", "resize", "-q", "-f", "qcow2", base, "32M", NULL);
  move = chain_move_of (chain, MOVE_COMMIT, 0, 1);
  assert_refused (chain, move, "larger");
}

/* Somebody has started the guest. */
static void
test_in_use (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (GSubprocess) holder = NULL;
  g_autoptr (GError) error = NULL;
  gboolean in_use = FALSE;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  holder = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE,
                             &error, "qemu-io", "-f", "qcow2", chain->published, NULL);
  g_assert_no_error (error);
  while (!in_use)
    {
      g_assert_true (files_in_use (chain->published, &in_use, &error));
      g_usleep (1000);
    }
  for (guint kind = 0; kind < 2; kind++)
    {
      g_autoptr (ChainMove) top = chain_move_of (chain, (MoveKind) kind, 3, 4);

      g_assert_false (chain_do_move (top, NULL, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
      g_assert_nonnull (strstr (error->message, kind == MOVE_COMMIT ? "has it open" : "lock"));
      g_assert_cmpint (top->begun, ==, kind != MOVE_COMMIT);
      g_clear_error (&error);
    }
  g_subprocess_force_exit (holder);
  g_subprocess_wait (holder, NULL, NULL);
  chain_assert_shows (chain);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < N_VARIANTS; i++)
    {
      g_autofree char *path = g_strconcat ("/move-offline/", variants[i].name, NULL);

      g_test_add_data_func (path, &variants[i], test_pairs);
    }
  g_test_add_func ("/move-offline/bitmap", test_bitmap);
  g_test_add_func ("/move-offline/odd-name", test_odd_name);
  g_test_add_func ("/move-offline/backing-name", test_backing_name);
  g_test_add_func ("/move-offline/changed", test_changed);
  g_test_add_func ("/move-offline/other-format", test_other_format);
  g_test_add_func ("/move-offline/data-file", test_data_file);
  g_test_add_func ("/move-offline/larger-base", test_larger_base);
  g_test_add_func ("/move-offline/in-use", test_in_use);
  return g_test_run ();
}
