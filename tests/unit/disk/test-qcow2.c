/* SPDX-License-Identifier: Apache-2.0 */

/* The qcow2 header: what is written is read back, and no bytes whatever do harm. */

#include <disk/qcow2.h>

#include <core/error.h>

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define HEAD 200u                               /* bytes: all of a small header with its names */

static GBytes *
make_overlay (guint64 size)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes = qcow2_empty_overlay (size, "disk.0", "qcow2", &error);

  g_assert_no_error (error);

  return bytes;
}

/* Parses bytes that end where the heap block ends, so that reading past them is seen. */
static Qcow2Header *
parse (const guint8  *bytes,
       gsize          length,
       GError       **error)
{
  g_autoptr (GBytes) head = g_bytes_new (bytes, length);

  return qcow2_header_parse (head, error);
}

static void
poke (guint8  *bytes,
      gsize    at,
      gsize    width,
      guint64  value)
{
  for (gsize i = 0; i < width; i++)
    bytes[at + i] = (guint8) (value >> (8 * (width - 1 - i)));
}

static void
test_round_trip (void)
{
  g_autoptr (GBytes) bytes = make_overlay (G_GUINT64_CONSTANT (10) << 30);
  g_autoptr (GError) error = NULL;
  g_autoptr (Qcow2Header) header = qcow2_header_parse (bytes, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (header->version, ==, 3);
  g_assert_cmpuint (header->virtual_size, ==, G_GUINT64_CONSTANT (10) << 30);
  g_assert_cmpuint (header->cluster_bits, ==, 16);
  g_assert_cmpuint (header->header_length, ==, 112);
  g_assert_cmpstr (header->backing_name, ==, "disk.0");
  g_assert_cmpstr (header->backing_format, ==, "qcow2");
  g_assert_false (header->encrypted || header->dirty || header->corrupt);
  g_assert_false (header->has_data_file || header->extended_l2);
}

static void
test_stands_alone (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = qcow2_empty_overlay (G_GUINT64_CONSTANT (10) << 30, NULL, NULL,
                                                  &error);
  g_autoptr (Qcow2Header) header = NULL;

  g_assert_no_error (error);
  header = qcow2_header_parse (bytes, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (header->virtual_size, ==, G_GUINT64_CONSTANT (10) << 30);
  g_assert_null (header->backing_name);
  g_assert_null (header->backing_format);
}

static void
test_longest_names (void)
{
  g_autofree char *name = g_strnfill (1023, 'n');
  g_autofree char *too_long = g_strnfill (1024, 'n');
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = qcow2_empty_overlay (512, name, "fifteen-letters", &error);
  g_autoptr (Qcow2Header) header = NULL;

  g_assert_no_error (error);
  header = qcow2_header_parse (bytes, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (header->backing_name, ==, name);
  g_assert_cmpstr (header->backing_format, ==, "fifteen-letters");

  g_assert_null (qcow2_empty_overlay (512, too_long, "raw", &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
}

static void
test_refused_overlays (void)
{
  static const struct
  {
    guint64     size;
    const char *name;
    const char *format;
  } rows[] = {
    { 511, "disk.0", "qcow2" },
    { (G_GUINT64_CONSTANT (2) << 50) + 512, "disk.0", "qcow2" },
    { G_MAXUINT64 - 511, "disk.0", "qcow2" },
    { 512, "", "qcow2" },
    { 512, "disk.0", "" },
    { 512, "disk.0", "sixteen-letters-" },
    { 512, "nbd:unix:/socket", "raw" },
    { 512, "json:{\"driver\":\"file\"}", "raw" },
    { 512, "disk:1.0", "raw" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (qcow2_empty_overlay (rows[i].size, rows[i].name, rows[i].format, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_assert_nonnull (agent_error_get_hint (error));
    }
}

static void
test_colon_behind_slash (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = qcow2_empty_overlay (512, "./disk:1.0", "raw", &error);

  g_assert_no_error (error);
  g_assert_nonnull (bytes);
}

/* Cut off anywhere before the end of its backing name, a header is refused; behind, it is whole. */
static void
test_truncated (void)
{
  g_autoptr (GBytes) bytes = make_overlay (1 << 20);
  const guint8 *data = g_bytes_get_data (bytes, NULL);
  gsize end = 112 + 16 + 8 + strlen ("disk.0");

  for (gsize length = 0; length <= HEAD; length++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (Qcow2Header) header = parse (data, length, &error);

      if (length < end)
        {
          g_assert_null (header);
          g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
        }
      else
        {
          g_assert_no_error (error);
          g_assert_cmpstr (header->backing_name, ==, "disk.0");
        }
    }
}

/* Whatever was accepted must be within what the header's comments promise. */
static void
assert_sane (Qcow2Header *header,
             GError      *error)
{
  if (header == NULL)
    {
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
      g_assert_true (g_str_has_prefix (error->message, "qcow2 header: "));
      return;
    }

  g_assert_no_error (error);
  g_assert_true (header->version == 2 || header->version == 3);
  g_assert_cmpuint (header->cluster_bits, >=, 9);
  g_assert_cmpuint (header->cluster_bits, <=, 21);
  g_assert_cmpuint (header->virtual_size, <=, G_MAXINT64);
  g_assert_cmpuint (header->header_length, <=, 1u << header->cluster_bits);
  g_assert_true (header->backing_name == NULL || strlen (header->backing_name) <= 1023);
  g_assert_true (header->backing_format == NULL || strlen (header->backing_format) <= 15);
}

static void
test_bit_flips (void)
{
  g_autoptr (GBytes) bytes = make_overlay (1 << 30);
  guint accepted = 0;

  for (gsize bit = 0; bit < HEAD * 8; bit++)
    {
      g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), HEAD);
      g_autoptr (GError) error = NULL;
      g_autoptr (Qcow2Header) header = NULL;

      copy[bit / 8] ^= (guint8) (1u << (bit % 8));
      header = parse (copy, HEAD, &error);
      assert_sane (header, error);
      accepted += header != NULL;
      if (bit < 64)
        g_assert_true (header == NULL || header->version == 2);
    }

  /* Bits in names, unused fields and compatible features change nothing that matters. */
  g_assert_cmpuint (accepted, >, 300);
}

static void
test_noise (void)
{
  g_autoptr (GBytes) bytes = make_overlay (1 << 30);

  g_random_set_seed (20240501);
  for (guint round = 0; round < 50000; round++)
    {
      g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), HEAD);
      guint changes = 1 + g_random_int_range (0, 12);
      g_autoptr (GError) error = NULL;
      g_autoptr (Qcow2Header) header = NULL;

      while (changes-- > 0)
        copy[g_random_int_range (8, HEAD)] = g_random_boolean () ? 0xff : (guint8) g_random_int ();
      header = parse (copy, (gsize) g_random_int_range (0, HEAD + 1), &error);
      assert_sane (header, error);
    }
}

static void
test_fields (void)
{
  static const struct
  {
    gsize       at;
    gsize       width;
    guint64     value;
    const char *complaint;      /* NULL: nothing wrong with that */
  } rows[] = {
    { 0,   4, 0x514649fa, "magic" },
    { 4,   4, 1, "version 1" },
    { 4,   4, 4, "version 4" },
    { 8,   8, 50, "backing name" },
    { 8,   8, 65536, "backing name" },
    { 8,   8, G_MAXUINT64, "backing name" },
    { 16,  4, 1024, "1024" },
    { 16,  4, 100, "backing name" },
    { 20,  4, 8, "2^8" },
    { 20,  4, 22, "2^22" },
    { 20,  4, G_MAXUINT32, "clusters" },
    { 24,  8, G_MAXUINT64, "virtual size" },
    { 24,  8, G_GUINT64_CONSTANT (1) << 62, "L1 table" },
    { 32,  4, 3, "encryption" },
    { 36,  4, G_MAXUINT32, "L1 table" },
    { 40,  8, 1, "L1 table" },
    { 48,  8, 512, "refcount table" },
    { 48,  8, G_GUINT64_CONSTANT (1) << 63, "refcount table" },
    { 56,  4, 0, "refcount table" },
    { 56,  4, G_MAXUINT32, "refcount table" },
    { 60,  4, 65537, "snapshots" },
    { 60,  4, 2, NULL },
    { 72,  8, 0x20, "incompatible features 0x20" },
    { 72,  8, 0x8, "compression" },
    { 80,  8, 1, NULL },
    { 88,  8, 1, NULL },
    { 96,  4, 7, "reference counts" },
    { 100, 4, 72, "needs 104" },
    { 100, 4, 65537, "more than a cluster" },
    { 100, 4, 4096, "there are" },
    { 104, 1, 1, "compression" },
    { 116, 4, 16, "backing format" },
    { 116, 4, 1000, "does not fit" },
    { 120, 1, 0, "NUL" },
    { 136, 1, 0, "NUL" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GBytes) bytes = make_overlay (1 << 30);
      g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), HEAD);
      g_autoptr (GError) error = NULL;
      g_autoptr (Qcow2Header) header = NULL;

      poke (copy, rows[i].at, rows[i].width, rows[i].value);
      header = parse (copy, HEAD, &error);
      if (rows[i].complaint == NULL)
        {
          g_assert_no_error (error);
          continue;
        }
      g_assert_null (header);
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, rows[i].complaint));
    }
}

static void
test_flags (void)
{
  g_autoptr (GBytes) bytes = make_overlay (1 << 30);
  g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), HEAD);
  g_autoptr (GError) error = NULL;
  g_autoptr (Qcow2Header) header = NULL;

  poke (copy, 72, 8, 0x1f);
  poke (copy, 104, 1, 1);
  poke (copy, 32, 4, 2);
  poke (copy, 36, 4, 4);        /* extended L2 entries are twice as long */
  header = parse (copy, HEAD, &error);
  g_assert_no_error (error);
  g_assert_true (header->dirty && header->corrupt && header->has_data_file && header->extended_l2);
  g_assert_true (header->encrypted);
}

/* Encryption and a data file are also told by extensions alone. */
static void
test_extensions (void)
{
  static const guint32 types[] = { 0x0537be77, 0x44415441 };

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autoptr (GBytes) bytes = make_overlay (1 << 30);
      g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), HEAD);
      g_autoptr (GError) error = NULL;
      g_autoptr (Qcow2Header) header = NULL;

      poke (copy, 112, 4, types[i]);
      header = parse (copy, HEAD, &error);
      g_assert_no_error (error);
      g_assert_null (header->backing_format);
      g_assert_cmpint (header->encrypted, ==, i == 0);
      g_assert_cmpint (header->has_data_file, ==, i == 1);
    }
}

static void
test_endless_extensions (void)
{
  g_autofree guint8 *copy = NULL;
  g_autoptr (GBytes) bytes = make_overlay (1 << 30);
  g_autoptr (GError) error = NULL;

  copy = g_memdup2 (g_bytes_get_data (bytes, NULL), 65536);
  poke (copy, 8, 8, 0);
  for (gsize at = 112; at < 65536; at += 8)
    poke (copy, at, 8, G_GUINT64_CONSTANT (0x1234567800000000));

  g_assert_null (parse (copy, 65536, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "extensions"));
}

static void
test_version_2 (void)
{
  guint8 bytes[112] = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (Qcow2Header) header = NULL;

  poke (bytes, 0, 8, G_GUINT64_CONSTANT (0x514649fb00000002));
  poke (bytes, 8, 8, 96);
  poke (bytes, 16, 4, 4);
  poke (bytes, 20, 4, 12);
  poke (bytes, 24, 8, 1 << 20);
  poke (bytes, 36, 4, 1);
  poke (bytes, 40, 8, 3 << 12);
  poke (bytes, 48, 8, 1 << 12);
  poke (bytes, 56, 4, 1);
  poke (bytes, 72, 8, G_GUINT64_CONSTANT (0xe2792aca00000003));
  memcpy (bytes + 80, "raw", 3);
  memcpy (bytes + 96, "base", 4);

  header = parse (bytes, sizeof bytes, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (header->version, ==, 2);
  g_assert_cmpuint (header->header_length, ==, 72);
  g_assert_cmpuint (header->cluster_bits, ==, 12);
  g_assert_cmpstr (header->backing_name, ==, "base");
  g_assert_cmpstr (header->backing_format, ==, "raw");
}

static void
test_read (void)
{
  g_autoptr (GBytes) bytes = make_overlay (1 << 30);
  g_autoptr (GError) error = NULL;
  g_autoptr (Qcow2Header) header = NULL;
  g_autofree char *path = NULL;
  gsize length;
  const guint8 *data = g_bytes_get_data (bytes, &length);
  int fd = g_file_open_tmp (NULL, &path, &error);

  g_assert_no_error (error);
  g_assert_null (qcow2_header_read (fd, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);

  g_assert_cmpint (write (fd, data, length), ==, (gssize) length);
  header = qcow2_header_read (fd, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (header->backing_name, ==, "disk.0");
  g_assert_cmpint (lseek (fd, 0, SEEK_CUR), ==, (gint64) length);

  close (fd);
  g_remove (path);
  g_assert_null (qcow2_header_read (-1, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/qcow2/round-trip", test_round_trip);
  g_test_add_func ("/qcow2/stands-alone", test_stands_alone);
  g_test_add_func ("/qcow2/longest-names", test_longest_names);
  g_test_add_func ("/qcow2/refused-overlays", test_refused_overlays);
  g_test_add_func ("/qcow2/colon-behind-slash", test_colon_behind_slash);
  g_test_add_func ("/qcow2/truncated", test_truncated);
  g_test_add_func ("/qcow2/bit-flips", test_bit_flips);
  g_test_add_func ("/qcow2/noise", test_noise);
  g_test_add_func ("/qcow2/fields", test_fields);
  g_test_add_func ("/qcow2/flags", test_flags);
  g_test_add_func ("/qcow2/extensions", test_extensions);
  g_test_add_func ("/qcow2/endless-extensions", test_endless_extensions);
  g_test_add_func ("/qcow2/version-2", test_version_2);
  g_test_add_func ("/qcow2/read", test_read);

  return g_test_run ();
}
