/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzzer without libFuzzer: over each file of a folder, and over as many damaged copies of
 * them as are asked for. The same seed gives the same copies. */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_BYTES (256 * 1024)

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static GPtrArray *
read_corpus (const char *folder)
{
  g_autoptr (GPtrArray) inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  GDir *dir = g_dir_open (folder, 0, &error);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_build_filename (folder, name, NULL));
  g_dir_close (dir);
  g_ptr_array_sort (names, compare_names);

  for (guint i = 0; i < names->len; i++)
    {
      char *contents;
      gsize length;

      g_assert_true (g_file_get_contents (names->pdata[i], &contents, &length, &error));
      g_assert_no_error (error);
      g_ptr_array_add (inputs, g_bytes_new_take (contents, length));
    }
  return g_steal_pointer (&inputs);
}

static guint
below (GRand *rand, gsize bound)
{
  return bound == 0 ? 0 : (guint) g_rand_int_range (rand, 0, (gint32) MIN (bound, G_MAXINT32));
}

/* A run of bytes of @from comes into @buffer at a place of chance. */
static void
splice (GRand *rand, GByteArray *buffer, const guint8 *from, gsize length)
{
  guint at = below (rand, buffer->len + 1);
  guint begin = below (rand, length);
  guint count = below (rand, MIN (length - begin, 64) + 1);
  guint tail = buffer->len - at;

  if (count == 0)
    return;
  g_byte_array_set_size (buffer, buffer->len + count);
  memmove (buffer->data + at + count, buffer->data + at, tail);
  memcpy (buffer->data + at, from + begin, count);
}

static void
damage (GRand *rand, GByteArray *buffer, GBytes *other)
{
  static const guint8 telling[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, '"', '\\', '{', '}', '[', ']',
                                    ',', ':', '-', '.', '\n' };
  gsize length;
  const guint8 *bytes = g_bytes_get_data (other, &length);

  switch (below (rand, 6))
    {
    case 0:
      if (buffer->len > 0)
        buffer->data[below (rand, buffer->len)] ^= (guint8) (1u << below (rand, 8));
      break;
    case 1:
      if (buffer->len > 0)
        buffer->data[below (rand, buffer->len)] = telling[below (rand, sizeof telling)];
      break;
    case 2:
      if (buffer->len > 0)
        {
          guint at = below (rand, buffer->len);

          g_byte_array_remove_range (buffer, at, below (rand, MIN (buffer->len - at, 64) + 1));
        }
      break;
    case 3:
      if (buffer->len > 0)
        g_byte_array_set_size (buffer, below (rand, buffer->len));
      break;
    case 4:
      {
        g_autofree guint8 *own = g_memdup2 (buffer->data, buffer->len);

        if (own != NULL)
          splice (rand, buffer, own, buffer->len);
        break;
      }
    default:
      if (bytes != NULL)
        splice (rand, buffer, bytes, length);
      break;
    }
}

static void
run_damaged (GPtrArray *inputs, guint n_runs, guint32 seed)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);

  for (guint i = 0; i < n_runs; i++)
    {
      GBytes *from = g_ptr_array_index (inputs, below (rand, inputs->len));
      g_autoptr (GByteArray) buffer = g_byte_array_new ();
      g_autofree guint8 *exact = NULL;
      gsize length;
      const guint8 *bytes = g_bytes_get_data (from, &length);

      g_byte_array_append (buffer, bytes, (guint) length);
      for (guint n = below (rand, 8) + 1; n > 0; n--)
        damage (rand, buffer, g_ptr_array_index (inputs, below (rand, inputs->len)));
      /* A buffer of just that size, so that the sanitizer sees who reads beyond it. */
      exact = g_memdup2 (buffer->data, MIN (buffer->len, SIZE_MAX_BYTES));
      LLVMFuzzerTestOneInput (exact, MIN (buffer->len, SIZE_MAX_BYTES));
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) inputs = NULL;
  guint n_runs = argc > 2 ? (guint) atoi (argv[2]) : 0;
  guint32 seed = argc > 3 ? (guint32) strtoul (argv[3], NULL, 0) : 1;
  gint64 begun = g_get_monotonic_time ();

  if (argc < 2)
    {
      g_printerr ("usage: %s FOLDER [RUNS [SEED]]\n", argv[0]);
      return 2;
    }
  inputs = read_corpus (argv[1]);
  g_assert_cmpuint (inputs->len, >, 0);
  g_print ("TAP version 13\n1..2\n");
  for (guint i = 0; i < inputs->len; i++)
    {
      gsize length;
      const guint8 *bytes = g_bytes_get_data (inputs->pdata[i], &length);

      LLVMFuzzerTestOneInput (bytes, length);
    }
  g_print ("ok 1 corpus of %u\n", inputs->len);
  run_damaged (inputs, n_runs, seed);
  g_print ("# %u executions, seed %u, %.1f s\n", n_runs, seed,
           (double) (g_get_monotonic_time () - begun) / G_USEC_PER_SEC);
  g_print ("ok 2 damaged\n");
  return 0;
}
