/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which sockets match a pattern, now and from now on.
 *
 * Every folder on the way is watched, from the root down, so that folders too may come and go. What
 * an event says is used only to see that it matters; then the pattern is walked again and compared
 * with the last walk. Each folder is watched before it is read, so that nothing falls between the
 * two. */

#include "watch.h"

#include "address.h"

#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

/* One socket file. A new one under the same name differs in one of these, as a socket is never
 * written; its owner and mode may change without that. */
typedef struct
{
  dev_t           device;
  ino_t           inode;
  struct timespec made;
} Stamp;

typedef struct
{
  GFileMonitor *monitor;
  guint         depth;          /* index of the part that its entries are matched with */
} Folder;

struct _SocketWatch
{
  GObject         parent_instance;

  SocketWatchKind kind;
  char           *pattern;
  char          **parts;
  guint           n_parts;
  GHashTable     *folders;      /* path -> Folder */
  GHashTable     *sockets;      /* path -> Stamp */
  guint           walk_id;
  gboolean        started;
};

G_DEFINE_TYPE (SocketWatch, socket_watch, G_TYPE_OBJECT)

enum
{
  SIGNAL_ADDED,
  SIGNAL_REMOVED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

/* What one walk has come by. */
typedef struct
{
  SocketWatch *self;
  GHashTable  *folders;         /* path, a set */
  GHashTable  *sockets;         /* path -> Stamp */
} Walk;

static void walk_from (Walk *walk, const char *path, guint depth);

static void
folder_free (Folder *folder)
{
  if (folder->monitor != NULL)
    g_file_monitor_cancel (folder->monitor);
  g_clear_object (&folder->monitor);
  g_free (folder);
}

static gboolean
has_wildcard (const char *part)
{
  return strpbrk (part, "*?[") != NULL;
}

/* Whether an entry @name of a folder at @depth can be part of a match. */
static gboolean
part_matches (SocketWatch *self,
              guint        depth,
              const char  *name)
{
  if (depth >= self->n_parts)
    return TRUE;

  if (self->kind == SOCKET_WATCH_PATH || !has_wildcard (self->parts[depth]))
    return strcmp (self->parts[depth], name) == 0;

  return fnmatch (self->parts[depth], name, FNM_PERIOD) == 0;
}

/* --- Events --- */

static gboolean walk_now (gpointer user_data);

static void
walk_soon (SocketWatch *self)
{
  if (self->walk_id == 0)
    self->walk_id = g_idle_add_full (G_PRIORITY_DEFAULT, walk_now, self, NULL);
}

static gboolean
file_matters (SocketWatch *self,
              GFile       *file)
{
  g_autofree char *path = file != NULL ? g_file_get_path (file) : NULL;
  g_autofree char *parent = NULL;
  g_autofree char *name = NULL;
  Folder *folder;

  if (path == NULL)
    return FALSE;

  /* A watched folder itself has come or gone: whatever is watched under its name is another one. */
  if (g_hash_table_remove (self->folders, path))
    return TRUE;

  parent = g_path_get_dirname (path);
  name = g_path_get_basename (path);
  folder = g_hash_table_lookup (self->folders, parent);

  return folder != NULL && part_matches (self, folder->depth, name);
}

static void
on_folder_event (GFileMonitor      *monitor,
                 GFile             *file,
                 GFile             *other,
                 GFileMonitorEvent  event,
                 gpointer           user_data)
{
  SocketWatch *self = user_data;
  gboolean matters;

  switch (event)
    {
    case G_FILE_MONITOR_EVENT_CREATED:
    case G_FILE_MONITOR_EVENT_DELETED:
    case G_FILE_MONITOR_EVENT_MOVED_IN:
    case G_FILE_MONITOR_EVENT_MOVED_OUT:
    case G_FILE_MONITOR_EVENT_RENAMED:
    case G_FILE_MONITOR_EVENT_UNMOUNTED:
      matters = file_matters (self, file);
      if (file_matters (self, other) || matters)
        walk_soon (self);
      break;
    case G_FILE_MONITOR_EVENT_CHANGED:
    case G_FILE_MONITOR_EVENT_CHANGES_DONE_HINT:
    case G_FILE_MONITOR_EVENT_ATTRIBUTE_CHANGED:
    case G_FILE_MONITOR_EVENT_PRE_UNMOUNT:
    case G_FILE_MONITOR_EVENT_MOVED:
    default:
      break;
    }
}

/* --- Walking --- */

/* FALSE when @path is no folder. */
static gboolean
watch_folder (Walk       *walk,
              const char *path,
              guint       depth)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GError) error = NULL;
  Folder *folder;

  if (!g_file_test (path, G_FILE_TEST_IS_DIR))
    return FALSE;

  g_hash_table_add (walk->folders, g_strdup (path));
  if (g_hash_table_contains (walk->self->folders, path))
    return TRUE;

  folder = g_new0 (Folder, 1);
  folder->depth = depth;
  folder->monitor = g_file_monitor_directory (file, G_FILE_MONITOR_WATCH_MOVES, NULL, &error);
  if (folder->monitor != NULL)
    g_signal_connect_object (folder->monitor, "changed", G_CALLBACK (on_folder_event), walk->self,
                             0);
  else
    g_debug ("cannot watch folder %s: %s", path, error->message);
  g_hash_table_insert (walk->self->folders, g_strdup (path), folder);

  return TRUE;
}

/* A link to a socket is not taken for one: its guest would be met twice. A name that is not UTF-8
 * could be told to nobody. */
static mode_t
look_at (const char *path,
         Stamp      *stamp)
{
  struct stat status;

  if (lstat (path, &status) != 0 || !g_utf8_validate (path, -1, NULL))
    return 0;

  stamp->device = status.st_dev;
  stamp->inode = status.st_ino;
  stamp->made = status.st_mtim;

  return status.st_mode & S_IFMT;
}

static void
walk_entries (Walk       *walk,
              const char *path,
              guint       depth)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  if (dir == NULL)
    return;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *entry = g_build_filename (path, name, NULL);
      Stamp stamp;

      if (!part_matches (walk->self, depth, name))
        continue;

      if (depth < walk->self->n_parts)
        walk_from (walk, entry, depth + 1);
      else if (look_at (entry, &stamp) == S_IFSOCK)
        g_hash_table_replace (walk->sockets, g_steal_pointer (&entry),
                              g_memdup2 (&stamp, sizeof stamp));
    }
}

/* @path matches the first @depth parts. */
static void
walk_from (Walk       *walk,
           const char *path,
           guint       depth)
{
  SocketWatch *self = walk->self;
  Stamp stamp;

  if (depth == self->n_parts)
    {
      mode_t type = look_at (path, &stamp);

      if (type == S_IFSOCK)
        g_hash_table_replace (walk->sockets, g_strdup (path), g_memdup2 (&stamp, sizeof stamp));
      else if (type == S_IFDIR && self->kind == SOCKET_WATCH_PATTERN &&
               watch_folder (walk, path, depth))
        walk_entries (walk, path, depth);
      return;
    }

  if (!watch_folder (walk, path, depth))
    return;

  if (self->kind == SOCKET_WATCH_PATTERN && has_wildcard (self->parts[depth]))
    {
      walk_entries (walk, path, depth);
    }
  else
    {
      g_autofree char *next = g_build_filename (path, self->parts[depth], NULL);

      walk_from (walk, next, depth + 1);
    }
}

static gboolean
is_not_in (gpointer key,
           gpointer value,
           gpointer user_data)
{
  return !g_hash_table_contains (user_data, key);
}

static gboolean
same_stamp (const Stamp *a,
            const Stamp *b)
{
  return a->device == b->device && a->inode == b->inode &&
         a->made.tv_sec == b->made.tv_sec && a->made.tv_nsec == b->made.tv_nsec;
}

/* Paths of the sockets in @a that are not in @b. */
static GPtrArray *
difference (GHashTable *a,
            GHashTable *b)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  GHashTableIter iter;
  gpointer path, stamp;

  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &path, &stamp))
    {
      const Stamp *other = g_hash_table_lookup (b, path);

      if (other == NULL || !same_stamp (stamp, other))
        g_ptr_array_add (paths, g_strdup (path));
    }

  return g_steal_pointer (&paths);
}

static gboolean
walk_now (gpointer user_data)
{
  g_autoptr (SocketWatch) self = g_object_ref (user_data);
  g_autoptr (GHashTable) folders = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GHashTable) sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GPtrArray) added = NULL;
  g_autoptr (GPtrArray) removed = NULL;
  Walk walk = { self, folders, sockets };

  self->walk_id = 0;

  walk_from (&walk, "/", 0);
  g_hash_table_foreach_remove (self->folders, is_not_in, folders);

  removed = difference (self->sockets, sockets);
  added = difference (sockets, self->sockets);
  g_clear_pointer (&self->sockets, g_hash_table_unref);
  self->sockets = g_steal_pointer (&sockets);

  for (guint i = 0; i < removed->len && self->started; i++)
    g_signal_emit (self, signals[SIGNAL_REMOVED], 0, g_ptr_array_index (removed, i));
  for (guint i = 0; i < added->len && self->started; i++)
    g_signal_emit (self, signals[SIGNAL_ADDED], 0, g_ptr_array_index (added, i));

  return G_SOURCE_REMOVE;
}

/* --- Verbs --- */

/**
 * socket_watch_new:
 * @pattern: an absolute path, whose parts may hold wildcards if @kind says so
 * @kind: how to read @pattern
 *
 * Returns: (transfer full): a watch, not yet started
 */
SocketWatch *
socket_watch_new (const char      *pattern,
                  SocketWatchKind  kind)
{
  g_autofree char *path = address_normalize (pattern);
  SocketWatch *self = g_object_new (TYPE_SOCKET_WATCH, NULL);

  self->kind = kind;
  self->pattern = g_strdup (pattern);
  self->parts = g_strsplit (path + 1, "/", -1);
  self->n_parts = g_strv_length (self->parts);
  /* The root folder alone splits into one empty part. */
  if (self->n_parts == 1 && self->parts[0][0] == '\0')
    self->n_parts = 0;

  return self;
}

/**
 * socket_watch_start:
 * @self: a watch
 *
 * Begins: folders are watched when this returns. The sockets that match a pattern already are told
 * from the main loop, as "added" too; a path's is not, for whoever names it can look. In vain when
 * it was started before.
 */
void
socket_watch_start (SocketWatch *self)
{
  g_autoptr (GHashTable) folders = NULL;
  g_autoptr (GHashTable) sockets = NULL;
  Walk walk;

  if (self->started)
    return;

  self->started = TRUE;
  folders = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  walk = (Walk) { self, folders, sockets };
  walk_from (&walk, "/", 0);

  if (self->kind == SOCKET_WATCH_PATTERN)
    {
      walk_soon (self);
      return;
    }

  g_clear_pointer (&self->sockets, g_hash_table_unref);
  self->sockets = g_steal_pointer (&sockets);
}

/**
 * socket_watch_stop:
 * @self: a watch
 *
 * Ends: no signal comes any more.
 */
void
socket_watch_stop (SocketWatch *self)
{
  self->started = FALSE;
  g_clear_handle_id (&self->walk_id, g_source_remove);
  g_hash_table_remove_all (self->folders);
  g_hash_table_remove_all (self->sockets);
}

/**
 * socket_watch_get_pattern:
 * @self: a watch
 *
 * Returns: (transfer none): what it was made of
 */
const char *
socket_watch_get_pattern (SocketWatch *self)
{
  return self->pattern;
}

/**
 * socket_watch_matches:
 * @self: a watch for a pattern
 * @path: a normal absolute path
 *
 * Returns: whether a socket at @path would be told, if it is there or not
 */
gboolean
socket_watch_matches (SocketWatch *self,
                      const char  *path)
{
  g_auto (GStrv) parts = g_strsplit (path + 1, "/", -1);
  guint n_parts = g_strv_length (parts);

  /* The pattern of a folder is one of the sockets in it. */
  if (n_parts != self->n_parts && n_parts != self->n_parts + 1)
    return FALSE;

  for (guint i = 0; i < n_parts; i++)
    if (!part_matches (self, i, parts[i]))
      return FALSE;

  return TRUE;
}

/**
 * socket_watch_repeat:
 * @self: a watch
 *
 * Tells "added" of all sockets that it has told of and that are there still, for whoever did not
 * want one of them then.
 */
void
socket_watch_repeat (SocketWatch *self)
{
  g_auto (GStrv) paths = (char **) g_hash_table_get_keys_as_array (self->sockets, NULL);

  for (guint i = 0; paths[i] != NULL; i++)
    paths[i] = g_strdup (paths[i]);
  for (guint i = 0; paths[i] != NULL && self->started; i++)
    g_signal_emit (self, signals[SIGNAL_ADDED], 0, paths[i]);
}

static void
socket_watch_dispose (GObject *object)
{
  socket_watch_stop (AGENT_SOCKET_WATCH (object));

  G_OBJECT_CLASS (socket_watch_parent_class)->dispose (object);
}

static void
socket_watch_finalize (GObject *object)
{
  SocketWatch *self = AGENT_SOCKET_WATCH (object);

  g_clear_pointer (&self->pattern, g_free);
  g_clear_pointer (&self->parts, g_strfreev);
  g_clear_pointer (&self->folders, g_hash_table_unref);
  g_clear_pointer (&self->sockets, g_hash_table_unref);

  G_OBJECT_CLASS (socket_watch_parent_class)->finalize (object);
}

static void
socket_watch_class_init (SocketWatchClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = socket_watch_dispose;
  object_class->finalize = socket_watch_finalize;

  signals[SIGNAL_ADDED] =
    g_signal_new ("added", TYPE_SOCKET_WATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_STRING);
  signals[SIGNAL_REMOVED] =
    g_signal_new ("removed", TYPE_SOCKET_WATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
socket_watch_init (SocketWatch *self)
{
  self->folders =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) folder_free);
  self->sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}
