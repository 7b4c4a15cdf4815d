/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when two QEMUs are the same program: then one query-qmp-schema serves both. */

#include "deadline.h"

#include <sys/stat.h>

#include <qmp/error.h>
#include <qmp/features.h>

typedef struct
{
  char        *key;
  QmpFeatures *features;        /* (nullable): NULL while nobody has been told yet */
  GQueue       lookups;         /* of GTask with a Lookup, owned; the head is the one that asks */
} Entry;

struct _QmpFeatureCache
{
  GObject     parent_instance;

  GHashTable *entries;          /* key -> Entry, owned */
};

G_DEFINE_FINAL_TYPE (QmpFeatureCache, qmp_feature_cache, G_TYPE_OBJECT)

typedef struct
{
  QmpClient *client;
  Entry     *entry;             /* (nullable): NULL once the look-up has left its queue */
  guint      deadline_ms;
  gint64     deadline;          /* see deadline.h */
  GSource   *timer;             /* (nullable): of those that wait for another's answer */
  GSource   *cancelled;         /* (nullable) */
} Lookup;

static void
entry_free (Entry *entry)
{
  g_queue_clear_full (&entry->lookups, g_object_unref);
  g_clear_object (&entry->features);
  g_free (entry->key);
  g_free (entry);
}

static void
lookup_free (Lookup *lookup)
{
  g_clear_pointer (&lookup->timer, g_source_unref);
  g_clear_pointer (&lookup->cancelled, g_source_unref);
  g_object_unref (lookup->client);
  g_free (lookup);
}

static void
qmp_feature_cache_finalize (GObject *object)
{
  QmpFeatureCache *self = QMP_FEATURE_CACHE (object);

  g_clear_pointer (&self->entries, g_hash_table_unref);

  G_OBJECT_CLASS (qmp_feature_cache_parent_class)->finalize (object);
}

static void
qmp_feature_cache_class_init (QmpFeatureCacheClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = qmp_feature_cache_finalize;
}

static void
qmp_feature_cache_init (QmpFeatureCache *self)
{
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                         (GDestroyNotify) entry_free);
}

/**
 * qmp_feature_cache_new:
 *
 * Returns: (transfer full): an empty cache
 */
QmpFeatureCache *
qmp_feature_cache_new (void)
{
  return g_object_new (QMP_TYPE_FEATURE_CACHE, NULL);
}

/* The file that the peer runs, even if a package upgrade has deleted it since. Where that cannot be
 * seen (TCP, another user's process) the version that QEMU greets with has to do. */
static char *
make_key (QmpClient *client)
{
  GPid pid = qmp_client_get_peer_pid (client);
  const char *version = qmp_client_get_version (client);

  if (pid > 0)
    {
      g_autofree char *path = g_strdup_printf ("/proc/%d/exe", (int) pid);
      struct stat st;

      if (stat (path, &st) == 0)
        return g_strdup_printf ("file:%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT
                                ":%" G_GINT64_FORMAT ".%09ld:%" G_GINT64_FORMAT,
                                (guint64) st.st_dev, (guint64) st.st_ino,
                                (gint64) st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                                (gint64) st.st_size);
    }

  return g_strdup_printf ("version:%s", version != NULL ? version : "");
}

/* Takes a look-up out of its queue; the caller has to end its task. */
static void
leave (GTask *task)
{
  Lookup *lookup = g_task_get_task_data (task);

  g_queue_remove (&lookup->entry->lookups, task);
  g_object_unref (task);
  lookup->entry = NULL;
  if (lookup->timer != NULL)
    g_source_destroy (lookup->timer);
  if (lookup->cancelled != NULL)
    g_source_destroy (lookup->cancelled);
}

static gboolean
lookup_expired (gpointer user_data)
{
  g_autoptr (GTask) task = g_object_ref (user_data);
  Lookup *lookup = g_task_get_task_data (task);

  leave (task);
  g_task_return_new_error (task, QMP_ERROR, QMP_ERROR_TIMEOUT,
                           "What QEMU can do was not known within %u ms: another look-up for the "
                           "same program has no answer yet", lookup->deadline_ms);
  return G_SOURCE_REMOVE;
}

static gboolean
lookup_cancelled (GCancellable *cancellable,
                  gpointer      user_data)
{
  g_autoptr (GTask) task = g_object_ref (user_data);

  leave (task);
  g_task_return_error_if_cancelled (task);
  return G_SOURCE_REMOVE;
}

static void ask (Entry *entry);

/* Serves all that wait when the schema came. When it did not, that is the asker's own trouble (its
 * link, its deadline): the next one asks again by its own link. */
static void
schema_came (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (QmpFeatureCache) self = g_object_ref (g_task_get_source_object (task));
  Entry *entry = ((Lookup *) g_task_get_task_data (task))->entry;
  g_autoptr (JsonNode) schema = NULL;
  g_autoptr (GError) error = NULL;

  schema = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (schema != NULL)
    entry->features = qmp_features_parse (schema, &error);

  leave (task);
  if (entry->features == NULL)
    {
      g_prefix_error (&error, "Cannot learn what QEMU can do: ");
      ask (entry);
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  g_task_return_pointer (task, g_object_ref (entry->features), g_object_unref);
  while (!g_queue_is_empty (&entry->lookups))
    {
      g_autoptr (GTask) next = g_object_ref (g_queue_peek_head (&entry->lookups));

      leave (next);
      g_task_return_pointer (next, g_object_ref (entry->features), g_object_unref);
    }
}

/* Lets the head of the queue ask. From here on its own deadline is the command's. */
static void
ask (Entry *entry)
{
  GTask *task = g_queue_peek_head (&entry->lookups);
  Lookup *lookup;

  if (task == NULL)
    return;

  lookup = g_task_get_task_data (task);
  if (lookup->timer != NULL)
    g_source_destroy (lookup->timer);
  if (lookup->cancelled != NULL)
    g_source_destroy (lookup->cancelled);

  qmp_client_execute_async (lookup->client, "query-qmp-schema", NULL,
                            qmp_deadline_left (lookup->deadline), g_task_get_cancellable (task),
                            schema_came, g_object_ref (task));
}

/**
 * qmp_feature_cache_lookup_async:
 * @self: a cache
 * @client: a monitor
 * @deadline_ms: how long it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait
 * @callback: called when the features are there
 * @user_data: for @callback
 *
 * Tells what the QEMU behind @client can do; asks it only if no QEMU of the same program was asked
 * before. Look-ups at the same time share one question.
 */
void
qmp_feature_cache_lookup_async (QmpFeatureCache     *self,
                                QmpClient           *client,
                                guint                deadline_ms,
                                GCancellable        *cancellable,
                                GAsyncReadyCallback  callback,
                                gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autofree char *key = NULL;
  Lookup *lookup;
  Entry *entry;

  g_return_if_fail (QMP_IS_FEATURE_CACHE (self));
  g_return_if_fail (QMP_IS_CLIENT (client));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_check_cancellable (task, FALSE);

  key = make_key (client);
  entry = g_hash_table_lookup (self->entries, key);
  if (entry == NULL)
    {
      entry = g_new0 (Entry, 1);
      entry->key = g_steal_pointer (&key);
      g_hash_table_insert (self->entries, entry->key, entry);
    }
  else if (entry->features != NULL)
    {
      g_task_return_pointer (task, g_object_ref (entry->features), g_object_unref);
      return;
    }

  lookup = g_new0 (Lookup, 1);
  lookup->client = g_object_ref (client);
  lookup->entry = entry;
  lookup->deadline_ms = deadline_ms;
  lookup->deadline = qmp_deadline_begin (deadline_ms);
  g_task_set_task_data (task, lookup, (GDestroyNotify) lookup_free);

  if (deadline_ms > 0)
    {
      lookup->timer = g_timeout_source_new (deadline_ms);
      g_task_attach_source (task, lookup->timer, lookup_expired);
    }
  if (cancellable != NULL)
    {
      lookup->cancelled = g_cancellable_source_new (cancellable);
      g_task_attach_source (task, lookup->cancelled, G_SOURCE_FUNC (lookup_cancelled));
    }

  g_queue_push_tail (&entry->lookups, g_object_ref (task));
  if (g_queue_get_length (&entry->lookups) == 1)
    ask (entry);
}

/**
 * qmp_feature_cache_lookup_finish:
 * @self: a cache
 * @result: what the callback was given
 * @error: where to put an error
 *
 * Errors: %QMP_ERROR_TIMEOUT; %QMP_ERROR_PROTOCOL when the schema makes no sense; those of
 * qmp_client_execute_finish().
 *
 * Returns: (transfer full): what that QEMU can do
 */
QmpFeatures *
qmp_feature_cache_lookup_finish (QmpFeatureCache  *self,
                                 GAsyncResult     *result,
                                 GError          **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
