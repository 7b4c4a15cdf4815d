/* SPDX-License-Identifier: Apache-2.0 */

#include "images.h"

#include <gio/gio.h>

gboolean
images_available (void)
{
  g_autofree char *img = g_find_program_in_path ("qemu-img");
  g_autofree char *io = g_find_program_in_path ("qemu-io");

  if (img != NULL && io != NULL)
    return TRUE;

  g_test_skip ("qemu-img and qemu-io are not installed (qemu-utils)");

  return FALSE;
}

/* The exit status; @output: (out) (transfer full): stdout and stderr. */
static int
spawn (GPtrArray  *words,
       char      **output)
{
  g_autoptr (GSubprocess) child = NULL;
  g_autoptr (GError) error = NULL;

  g_ptr_array_add (words, NULL);
  child = g_subprocess_newv ((const char *const *) words->pdata,
                             G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE,
                             &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (child, NULL, NULL, output, NULL, &error);
  g_assert_no_error (error);

  return g_subprocess_get_if_exited (child) ? g_subprocess_get_exit_status (child) : -1;
}

char *
images_run (const char *program,
            ...)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  g_autofree char *output = NULL;
  const char *word;
  va_list args;
  int status;

  g_ptr_array_add (words, (gpointer) program);
  va_start (args, program);
  while ((word = va_arg (args, const char *)) != NULL)
    g_ptr_array_add (words, (gpointer) word);
  va_end (args);

  status = spawn (words, &output);
  if (status != 0)
    g_error ("%s: status %d: %s", program, status, output);

  return g_steal_pointer (&output);
}

char *
images_create (const char *folder,
               const char *name,
               const char *size,
               const char *backing,
               const char *backing_format)
{
  char *path = g_build_filename (folder, name, NULL);

  if (backing == NULL)
    images_do ("qemu-img", "create", "-q", "-f", "qcow2", path, size, NULL);
  else
    images_do ("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", backing_format, path,
               size, NULL);

  return path;
}

void
images_write (const char *path,
              const char *format,
              ...)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  g_autofree char *output = NULL;
  const char *command;
  va_list args;

  g_ptr_array_add (words, (gpointer) "qemu-io");
  g_ptr_array_add (words, (gpointer) "-f");
  g_ptr_array_add (words, (gpointer) format);
  va_start (args, format);
  while ((command = va_arg (args, const char *)) != NULL)
    {
      g_ptr_array_add (words, (gpointer) "-c");
      g_ptr_array_add (words, (gpointer) command);
    }
  va_end (args);
  g_ptr_array_add (words, (gpointer) path);

  if (spawn (words, &output) != 0)
    g_error ("qemu-io %s: %s", path, output);
}

gboolean
images_equal (const char *path,
              const char *format,
              const char *other,
              const char *other_format)
{
  const char *arguments[] = { "qemu-img", "compare", "-U", "-f", format, "-F", other_format, path,
                              other };
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  g_autofree char *output = NULL;
  int status;

  for (gsize i = 0; i < G_N_ELEMENTS (arguments); i++)
    g_ptr_array_add (words, (gpointer) arguments[i]);

  status = spawn (words, &output);
  if (status > 1 || status < 0)
    g_error ("qemu-img compare %s: %s", path, output);
  if (status != 0)
    g_test_message ("%s and %s: %s", path, other, output);

  return status == 0;
}

void
images_check (const char *path)
{
  images_do ("qemu-img", "check", "-q", "-f", "qcow2", path, NULL);
}
