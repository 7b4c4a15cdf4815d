/* SPDX-License-Identifier: Apache-2.0 */

/* Moves without QEMU that are ended in mid-flight: whoever dies, a start from the published name
 * shows the same, and the next try gets through. */

#include "../disk/images.h"
#include "../disk/scratch.h"
#include "offline-chain.h"

#include <core/error.h>
#include <signal.h>
#include <string.h>

#define MOVE "move.json"

static gboolean
on_cancel_time (gpointer user_data)
{
  g_cancellable_cancel (user_data);
  return G_SOURCE_REMOVE;
}

static void
test_cancel (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  move = chain_move_of (chain, MOVE_COMMIT, 0, 4);
  move->speed = 65536;
  g_timeout_add (300, on_cancel_time, cancellable);
  g_assert_false (chain_do_move (move, cancellable, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
  g_assert_true (move->begun);
  text = chain_dup_text (chain);
  g_assert_cmpstr (text, ==, "43210");
  chain_assert_shows (chain);

  g_clear_error (&error);
  move->speed = 0;
  g_assert_true (chain_do_move (move, NULL, &error));
  g_assert_no_error (error);
  chain_assert_done (chain, move, 0, 4);
}

static void
save_move (const Chain *chain, const ChainMove *move)
{
  g_autofree char *path = g_build_filename (chain->folder, MOVE, NULL);
  g_autoptr (JsonNode) json = chain_move_to_json (move);
  g_autofree char *text = json_to_string (json, FALSE);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

/* What the child of test_kills() does: the move that is written down in @folder. */
static int
run_child (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, MOVE, NULL);
  g_autofree char *text = NULL;
  g_autoptr (JsonNode) json = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_get_contents (path, &text, NULL, &error))
    return 2;
  json = json_from_string (text, NULL);
  move = chain_move_from_json (json, &error);
  return move != NULL && chain_do_move (move, NULL, &error) ? 0 : 1;
}

/* Whoever dies with it lets the images go a moment later. */
static void
wait_until_free (const Chain *chain)
{
  for (guint i = 0; i < N_LAYERS; i++)
    {
      g_autofree char *path = chain_layer_path (chain, i);
      gboolean in_use = TRUE;

      for (guint tries = 0; in_use && tries < 10000; tries++)
        {
          g_assert_true (files_in_use (path, &in_use, NULL));
          if (in_use)
            g_usleep (1000);
        }
      g_assert_false (in_use);
    }
}

static GSubprocess *
start_child (const Chain *chain, const ChainMove *move)
{
  g_autoptr (GError) error = NULL;
  GSubprocess *child;

  save_move (chain, move);
  child = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, "/proc/self/exe", "--child",
                            chain->folder, NULL);
  g_assert_no_error (error);
  return child;
}

/* How long a child takes over it, in microseconds. */
static gint64
measure (const Variant *variant, guint first, guint last)
{
  g_autoptr (Chain) chain = chain_new (variant->raw_base, variant->grown);
  g_autoptr (ChainMove) move = chain_move_of (chain, variant->kind, first, last);
  gint64 begun = g_get_monotonic_time ();
  g_autoptr (GSubprocess) child = start_child (chain, move);

  g_assert_true (g_subprocess_wait_check (child, NULL, NULL));
  return g_get_monotonic_time () - begun;
}

/* A child is killed at a random moment, again and again until one gets through before. Returns how
 * many were killed. */
static guint
kill_until_done (const Chain *chain, const ChainMove *move, gint64 *duration)
{
  for (guint kills = 0;; kills++)
    {
      g_autoptr (GSubprocess) child = start_child (chain, move);

      if (kills < 8)
        {
          g_usleep ((gulong) ((double) *duration * g_test_rand_double_range (0.1, 1.0)));
          g_subprocess_send_signal (child, SIGKILL);
        }
      g_subprocess_wait (child, NULL, NULL);
      wait_until_free (chain);
      chain_assert_shows (chain);
      if (!g_subprocess_get_if_exited (child))
        continue;
      g_assert_cmpint (g_subprocess_get_exit_status (child), ==, 0);
      /* The machine was busier when it was measured. */
      *duration = *duration * 3 / 4;
      return kills;
    }
}

static void
test_kills (gconstpointer data)
{
  const Variant *variant = data;
  guint wanted = g_test_slow () ? 60 : 4;
  guint kills = 0;
  gint64 duration = 0;

  if (!images_available ())
    return;
  for (guint round = 0; kills < wanted; round++)
    {
      guint first = (guint) g_test_rand_int_range (0, N_LAYERS - 1);
      guint last = (guint) g_test_rand_int_range ((gint32) first + 1, N_LAYERS);
      g_autoptr (Chain) chain = chain_new (variant->raw_base, variant->grown);
      g_autoptr (ChainMove) move = chain_move_of (chain, variant->kind, first, last);

      g_assert_cmpuint (round, <, 10 * wanted);
      if (duration < 20000)
        duration = measure (variant, first, last);
      kills += kill_until_done (chain, move, &duration);
      g_test_message ("%u to %u: %u kills", first, last, kills);
      chain_assert_done (chain, move, first, last);
      chain_assert_alone (chain, move);
    }
}

/* qemu-img alone is killed, as when the host runs out of memory: an error, and the next try does
 * it. */
static gboolean
on_kill_time (gpointer user_data)
{
  const Chain *chain = user_data;
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/%s/cmdline", name);
      g_autofree char *words = NULL;
      gsize length = 0;

      if (!g_ascii_isdigit (name[0]) || !g_file_get_contents (path, &words, &length, NULL)
          || !g_str_equal (words, "qemu-img")
          || memmem (words, length, chain->folder, strlen (chain->folder)) == NULL)
        continue;
      kill ((pid_t) g_ascii_strtoll (name, NULL, 10), SIGKILL);
      return G_SOURCE_REMOVE;
    }
  return G_SOURCE_CONTINUE;
}

static void
test_killed_tool (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autoptr (GError) error = NULL;

  if (!images_available ())
    return;
  chain = chain_new (FALSE, FALSE);
  move = chain_move_of (chain, MOVE_COMMIT, 1, 4);
  move->speed = 65536;
  g_timeout_add (100, on_kill_time, chain);
  g_assert_false (chain_do_move (move, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_assert_nonnull (strstr (error->message, "signal 9"));
  chain_assert_shows (chain);

  g_clear_error (&error);
  move->speed = 0;
  g_assert_true (chain_do_move (move, NULL, &error));
  g_assert_no_error (error);
  chain_assert_done (chain, move, 1, 4);
}

/* From the first look at it until the name has moved there is no moment at which a guest could be
 * started from the top. */
typedef struct
{
  const Chain *chain;
  guint        claimed;         /* how often it was seen so */
} Watch;

static gboolean
on_idle (gpointer user_data)
{
  Watch *self = user_data;
  g_autofree char *top = chain_layer_path (self->chain, 4);
  gboolean in_use = FALSE;

  g_assert_true (files_in_use (top, &in_use, NULL));
  if (in_use)
    self->claimed++;
  else if (self->claimed > 0)
    g_assert_cmpuint (scratch_look (self->chain->published).ino, !=, scratch_look (top).ino);
  return G_SOURCE_CONTINUE;
}

static void
test_claim (void)
{
  g_autoptr (Chain) chain = NULL;
  g_autoptr (ChainMove) move = NULL;
  g_autoptr (GError) error = NULL;
  Watch watch = { 0 };
  guint idle;

  if (!images_available ())
    return;
  watch.chain = chain = chain_new (FALSE, FALSE);
  move = chain_move_of (chain, MOVE_COMMIT, 0, 4);
  idle = g_idle_add (on_idle, &watch);
  g_assert_true (chain_do_move (move, NULL, &error));
  g_assert_no_error (error);
  g_source_remove (idle);
  g_assert_cmpuint (watch.claimed, >, 0);
  chain_assert_done (chain, move, 0, 4);
}

int
main (int argc, char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "--child"))
    return run_child (argv[2]);
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < N_VARIANTS; i++)
    {
      g_autofree char *path = g_strconcat ("/move-offline-kills/", variants[i].name, NULL);

      g_test_add_data_func (path, &variants[i], test_kills);
    }
  g_test_add_func ("/move-offline-kills/cancel", test_cancel);
  g_test_add_func ("/move-offline-kills/tool", test_killed_tool);
  g_test_add_func ("/move-offline-kills/claim", test_claim);
  return g_test_run ();
}
