/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon's configuration file. */

#include "fuzz.h"

#include <core/config.h>
#include <sys/mman.h>
#include <unistd.h>

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  int fd = memfd_create ("config", MFD_CLOEXEC);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autoptr (GError) error = NULL;
  g_autoptr (Config) config = NULL;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, data, size), ==, (gssize) size);
  config = config_load (path, NULL, &error);
  fuzz_check_told (config, error);
  close (fd);
  return 0;
}
