/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how much room there is on file systems, and when that is too little. */

#include <disk/space.h>

#include <core/error.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MIB ((gint64) 1 << 20)

void
space_need_free (SpaceNeed *self)
{
  if (self == NULL)
    return;
  g_free (self->folder);
  g_free (self);
}

static gint64
bytes_left (const struct statvfs *fs)
{
  guint64 block = fs->f_frsize;

  return fs->f_bavail > (guint64) G_MAXINT64 / MAX (block, 1) ? G_MAXINT64
                                                              : (gint64) (fs->f_bavail * block);
}

static SpaceNeed *
find_need (GPtrArray *needs,
           guint64    dev)
{
  for (guint i = 0; i < needs->len; i++)
    {
      SpaceNeed *need = g_ptr_array_index (needs, i);

      if (need->dev == dev)
        return need;
    }

  return NULL;
}

static gint64
sum (gint64 one,
     gint64 other)
{
  return one > G_MAXINT64 - other ? G_MAXINT64 : one + other;
}

/**
 * space_add:
 * @needs: (element-type SpaceNeed): what is needed so far
 * @path: a file, or one that is to be made
 * @bytes: by how much it will grow
 * @error: return location: %AGENT_ERROR_NOT_FOUND when not even its folder is there,
 *   %AGENT_ERROR_INTERNAL when it cannot be looked at
 *
 * Files on the same file system are added up. What is left there is looked at when the first of
 * them comes.
 *
 * Returns: whether that is known now
 */
gboolean
space_add (GPtrArray   *needs,
           const char  *path,
           gint64       bytes,
           GError     **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  gboolean is_there;
  struct stat facts;
  struct statvfs fs;
  SpaceNeed *need;

  is_there = stat (path, &facts) == 0;
  if (is_there && S_ISBLK (facts.st_mode))
    return TRUE;

  if ((!is_there && stat (folder, &facts) != 0) || statvfs (is_there ? path : folder, &fs) != 0)
    {
      int saved = errno;

      agent_set_error (error, saved == ENOENT ? AGENT_ERROR_NOT_FOUND : AGENT_ERROR_INTERNAL, NULL,
                       "how much room there is in %s cannot be seen: %s", folder,
                       g_strerror (saved));
      return FALSE;
    }

  need = find_need (needs, facts.st_dev);
  if (need == NULL)
    {
      need = g_new0 (SpaceNeed, 1);
      need->dev = facts.st_dev;
      need->folder = is_there && S_ISDIR (facts.st_mode) ? g_strdup (path)
                                                         : g_steal_pointer (&folder);
      need->left = bytes_left (&fs);
      g_ptr_array_add (needs, need);
    }
  need->need = sum (need->need, MAX (bytes, 0));

  return TRUE;
}

/**
 * space_check:
 * @needs: (element-type SpaceNeed): what is needed
 * @reserve: bytes that must stay free on each file system
 * @error: return location: %AGENT_ERROR_NO_SPACE says where, how much there is, and what to do
 *
 * Who needs nothing is not refused, however little is left.
 *
 * Returns: whether there is room for all of it
 */
gboolean
space_check (GPtrArray  *needs,
             gint64      reserve,
             GError    **error)
{
  for (guint i = 0; i < needs->len; i++)
    {
      const SpaceNeed *need = g_ptr_array_index (needs, i);

      if (need->need == 0 || sum (need->need, reserve) <= need->left)
        continue;

      agent_set_error (error, AGENT_ERROR_NO_SPACE,
                       reserve > 0 ? "make room there, by shortening chains for example, or lower "
                                     "the reserve in the configuration ([daemon] reserve)"
                                   : "make room there",
                       "the file system of %s has %" G_GINT64_FORMAT " MiB left; %" G_GINT64_FORMAT
                       " MiB are needed, and %" G_GINT64_FORMAT " MiB are to stay free",
                       need->folder, need->left / MIB, (need->need - 1) / MIB + 1, reserve / MIB);
      return FALSE;
    }

  return TRUE;
}
