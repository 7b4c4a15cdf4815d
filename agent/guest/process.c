/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what /proc tells of a process: whether it is still the same one, and where it works. */

#include "process.h"

#include <string.h>

/* Fields of /proc/PID/stat, counted from the one behind the command's name: see proc(5). */
#define FIELD_STATE 0
#define FIELD_START_TIME 19

/**
 * process_get_start_time:
 * @pid: a process id
 *
 * Tells two processes apart that had the same number one after the other.
 *
 * Returns: the start time in clock ticks since boot, 0 when there is no such process (or only its
 *   remains, a zombie)
 */
guint64
process_get_start_time (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  g_auto (GStrv) fields = NULL;
  const char *behind;

  if (pid <= 0 || !g_file_get_contents (path, &text, NULL, NULL))
    return 0;

  /* The command's name stands in parentheses and may hold both of them, and spaces. */
  behind = strrchr (text, ')');
  if (behind == NULL || behind[1] != ' ')
    return 0;

  fields = g_strsplit (behind + 2, " ", -1);
  if (g_strv_length (fields) <= FIELD_START_TIME || strchr ("ZXx", fields[FIELD_STATE][0]) != NULL)
    return 0;

  return g_ascii_strtoull (fields[FIELD_START_TIME], NULL, 10);
}

/**
 * process_is_alive:
 * @pid: a process id
 * @start_time: what process_get_start_time() said of it
 *
 * Returns: whether the very same process still runs
 */
gboolean
process_is_alive (GPid    pid,
                  guint64 start_time)
{
  return start_time != 0 && process_get_start_time (pid) == start_time;
}

/**
 * process_is_qemu:
 * @pid: a process id
 *
 * Returns: whether its program calls itself a QEMU: an emulator or a storage daemon
 */
gboolean
process_is_qemu (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/exe", pid);
  g_autofree char *program = g_file_read_link (path, NULL);
  g_autofree char *name = program != NULL ? g_path_get_basename (program) : NULL;

  return name != NULL && g_str_has_prefix (name, "qemu");
}

/**
 * process_dup_folder:
 * @pid: a process id
 * @start_time: what process_get_start_time() said of it
 *
 * Returns: (transfer full) (nullable): the working folder of the process; %NULL when it is gone,
 *   may not be looked at, or works in a deleted folder
 */
char *
process_dup_folder (GPid    pid,
                    guint64 start_time)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/cwd", pid);
  g_autofree char *folder = NULL;

  if (start_time == 0)
    return NULL;

  folder = g_file_read_link (path, NULL);
  if (folder == NULL || !g_file_test (folder, G_FILE_TEST_IS_DIR))
    return NULL;

  /* Asked last: what was read above is then the same process's. */
  if (!process_is_alive (pid, start_time))
    return NULL;

  return g_steal_pointer (&folder);
}
